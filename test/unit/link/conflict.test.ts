// A device that does not follow a restored server, as the hub tells of it: once, for as long as it lasts, and from what the device says.

import t from 'tap'
import { silentLog } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { systemPki } from '../../../src/host/pki.ts'
import type { HeadConflict } from '../../../src/kinds/conflict.ts'
import type { Document, HeldHead, Hub } from '../../../src/link/link.ts'
import { createHub, memoryDialer, memoryPair, openDeviceLink } from '../../../src/link/transports/index.ts'
import { manualClock } from './manual-clock.ts'
import { documentOf } from './world.ts'

const key = systemPki.createSigningKey()
const otherKey = systemPki.createSigningKey()

interface Era {
  readonly epoch: string
  readonly base: number
  readonly revision: number
  readonly value: string
  readonly pem?: string
}

/** One device with its disk, and the servers it meets one after the other. */
const setup = () => {
  const clock = manualClock()
  const disk: { saved: { head: HeldHead; document: Document } | undefined } = { saved: undefined }
  const told: [HeadConflict | null, boolean][] = []
  const refused: string[] = []
  const now: { hub: Hub | undefined; truth: { revision: number; value: string } } = { hub: undefined, truth: { revision: 0, value: '' } }
  const serve = ({ epoch, base, revision, value, pem = key.privatePem }: Era): Hub => {
    const truth = { revision, value }
    now.truth = truth
    now.hub = createHub({
      clock,
      random: seededRandom(epoch),
      log: silentLog,
      epoch,
      base,
      sign: text => systemPki.sign(pem, text),
      sha256: systemPki.sha256,
      render: device => ({ document: documentOf({ a: truth.value }, device), revision: truth.revision }),
      onStatus: async () => {},
      onEvents: async () => {},
      onContact: () => {},
      onRefused: (_, why) => refused.push(why),
      onConflict: (_, conflict, isNews) => told.push([conflict, isNews]),
    })
    return now.hub
  }
  const change = (value: string): void => {
    now.truth.revision++
    now.truth.value = value
    now.hub?.changed('d1')
  }
  const documents: string[] = []
  const start = (publicPem: string = key.publicPem) =>
    openDeviceLink({
      device: 'd1',
      clock,
      random: seededRandom('d1'),
      log: silentLog,
      dialer: memoryDialer(connection => now.hub?.accept('d1', connection), { clock, delayMs: () => 1 }),
      memory: {
        load: () => disk.saved,
        save: async (head, document) => {
          disk.saved = { head, document }
        },
      },
      verify: (text, signature) => systemPki.verify(publicPem, text, signature),
      sha256: systemPki.sha256,
      onDocument: document => documents.push(document.configMaps[0]?.data?.['value'] ?? ''),
      onStream: (_, stream) => stream.end('not here'),
    })
  return { clock, disk, told, refused, serve, change, start, documents }
}

const OLD: Era = { epoch: 'e1', base: 0, revision: 50, value: 'made after the backup' }
const RESTORED: Era = { epoch: 'e2', base: 40, revision: 1000, value: 'of the backup' }
const CONFLICT: HeadConflict = { held: { epoch: 'e1', generation: 50 }, epoch: 'e2', base: 40 }

/** The device holds generation 50 of e1, and meets the restored server. */
const restored = async () => {
  const w = setup()
  const old = w.serve(OLD)
  const link = w.start()
  await w.clock.pass(1000)
  await old.close()
  w.told.length = 0
  const hub = w.serve(RESTORED)
  link.sync()
  await w.clock.pass(120_000)
  return { ...w, hub, link }
}

t.test('a device that has said nothing yet is in no conflict, nor is one that follows', async t => {
  const w = setup()
  const hub = w.serve(OLD)
  w.start()
  t.equal(hub.contact('d1'), undefined)
  await w.clock.pass(1000)
  t.equal(hub.contact('d1')?.conflict, null)
})

t.test('a conflict is told once, stands until the device follows, and is no refusal', async t => {
  const { hub, clock, told, refused, change, documents } = await restored()
  t.same(hub.contact('d1')?.conflict, CONFLICT)
  for (let i = 0; i < 40; i++) {
    change(`later ${i}`)
    await clock.pass(1000)
  }
  t.same(
    told.filter(([, isNews]) => isNews),
    [[CONFLICT, true]],
  )
  t.ok(told.length > 16, 'each head it refuses is said, so that a decision can be carried out at any')
  t.same(refused, [])
  await hub.resume('d1')
  await clock.pass(1000)
  t.equal(documents.at(-1), 'later 39')
  t.equal(hub.contact('d1')?.conflict, null)
  t.same(told.at(-1), [null, true])
})

t.test('it is known again after a restart of the server, and while the device is away', async t => {
  const { hub, clock, told, serve, link } = await restored()
  await hub.close()
  told.length = 0
  const next = serve(RESTORED)
  t.equal(next.contact('d1'), undefined)
  link.sync()
  await clock.pass(120_000)
  t.same(told, [[CONFLICT, true]])
  await link.close()
  await clock.pass(1000)
  t.match(next.contact('d1'), { connected: false, conflict: CONFLICT })
})

t.test('decided on the device, it is over here too', async t => {
  const { hub, clock, link, documents } = await restored()
  link.resume()
  await clock.pass(1000)
  t.equal(hub.contact('d1')?.conflict, null)
  t.equal(documents.at(-1), RESTORED.value)
})

t.test('content that changes while a decision is on its way is followed all the same', async t => {
  const w = await restored()
  await w.hub.resume('d1')
  w.change('changed meanwhile')
  await w.clock.pass(120_000)
  t.equal(w.documents.at(-1), 'changed meanwhile')
  t.equal(w.hub.contact('d1')?.conflict, null)
})

t.test('a device that refuses what was decided, or claims what it likes, is not a log’s worth', async t => {
  const w = setup()
  const hub = w.serve(RESTORED)
  const [mine, theirs] = memoryPair()
  const heads: { generation: number }[] = []
  mine.onFrame = text => {
    const { t: type, head } = JSON.parse(text) as { t: string; head?: { generation: number } }
    if ((type === 'head' || type === 'welcome') && head) heads.push(head)
  }
  const say = async (frame: object): Promise<void> => {
    mine.send(JSON.stringify(frame))
    await w.clock.pass(10)
  }
  hub.accept('d1', theirs)
  const sha256 = 'a'.repeat(64)
  await say({
    t: 'hello',
    v: 1,
    run: 'r',
    seq: 1,
    head: { epoch: 'e1', generation: 50, sha256 },
    statusDigest: 'a'.repeat(32),
    terms: { profile: 'lan', bulk: true },
  })
  const refuse = (): Promise<void> =>
    say({ t: 'refused', epoch: 'e2', generation: heads.at(-1)?.generation ?? 0, why: 'conflict', message: 'no' })
  await refuse()
  t.same(w.told, [[CONFLICT, true]])
  await hub.resume('d1')
  await w.clock.pass(10)
  await refuse()
  t.same([w.told.length, w.refused], [1, ['conflict']], 'no second decision follows from that')
  for (let i = 0; i < 60; i++) {
    await say({ t: 'applied', epoch: `e1-${i}`, generation: i })
    await refuse()
  }
  t.ok(w.told.filter(([, isNews]) => isNews).length <= 17, 'the news of one connection are bounded')
})

t.test('what another cluster signed is no authority: its head is forgotten, what runs stays until the new document is there', async t => {
  const w = setup()
  const old = w.serve(OLD)
  const first = w.start()
  await w.clock.pass(1000)
  await first.close()
  await old.close()
  const hub = w.serve({ epoch: 'other', base: 0, revision: 3, value: 'of the new cluster', pem: otherKey.privatePem })
  const link = w.start(otherKey.publicPem)
  t.equal(w.disk.saved?.head.epoch, 'e1')
  await w.clock.pass(120_000)
  t.equal(link.conflict, undefined)
  t.equal(hub.contact('d1')?.conflict, null)
  t.same(w.documents, [OLD.value, 'of the new cluster'])
  t.match(w.disk.saved?.head, { epoch: 'other', leftEpochs: undefined })
})
