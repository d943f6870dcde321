import t from 'tap'
import { documentBytes } from '../../../src/link/document.ts'
import { headText } from '../../../src/link/messages.ts'
import { makePatch } from '../../../src/link/patch.ts'
import {
  change,
  codec,
  DEVICE,
  documentOf,
  drain,
  live,
  newWorld,
  put,
  putServer,
  run,
  signWith,
  startDevice,
  startServer,
  type World,
} from './world.ts'

const values = (w: World): Record<string, string> =>
  Object.fromEntries((w.disk?.document.configMaps ?? []).map(map => [map.metadata.name, map.data?.['value']])) as Record<string, string>
/** Frames of a type in the order they arrived, from `since`. */
const frames = (w: World, since = 0): string[] =>
  w.bytes.frames.slice(since).map(line => `${line.split(' ')[0]} ${/"t":"(\w+)"/.exec(line)?.[1]}`)

t.test('a head that is altered, of an older generation, for another device or with another key changes nothing', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  const { head } = w.disk!
  const forge = (part: Partial<typeof head>, key = 'key', device = DEVICE): string => {
    const bare = { ...head, ...part }
    return JSON.stringify({ t: 'head', head: { ...bare, sig: part.sig ?? signWith(key, headText(device, bare)) } })
  }
  const other = codec.sha256(codec.encode('other'))
  const offered: readonly [string, string][] = [
    [forge({ generation: head.generation + 1, sha256: other, sig: head.sig }), 'signature'],
    [forge({ generation: head.generation + 1, sha256: other }, 'stolen'), 'signature'],
    [forge({ generation: head.generation + 1, sha256: other }, 'key', 'tower-8'), 'signature'],
    [forge({ generation: head.generation - 1, sha256: other }), 'older'],
    [forge({ sha256: other }), 'older'],
    [forge({ epoch: 'e2', generation: head.generation - 1, sha256: other }), 'conflict'],
  ]
  for (const [text, why] of offered) {
    const before = w.refused.length
    put(w, { in: 'frame', conn: w.device.conn, text })
    drain(w)
    t.strictSame(w.refused.slice(before), [why])
  }
  t.strictSame(values(w), { a: 'one' })
  t.equal(w.applied.length, 1)
  const mark = w.bytes.frames.length
  put(w, { in: 'frame', conn: w.device.conn, text: forge({}) })
  drain(w)
  t.strictSame(frames(w, mark), [], 'the same head again is met with silence')
})

/** Types of the frames that carry one change to the device, with what is done to patches on the way. */
const framesOfChange = (w: World, patches: World['patches'], name: string, value: string): string[] => {
  w.patches = patches
  const mark = w.bytes.frames.length
  change(w, name, value)
  run(w, 1000)
  return frames(w, mark)
}

t.test('a small change comes with its head and needs no fetch', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  t.strictSame(framesOfChange(w, 'pass', 'a', 'two'), ['down head', 'up applied'])
  t.strictSame(values(w), { a: 'two' })
  t.equal(w.disk?.head.sha256, w.record.held?.sha256)
  t.strictSame(
    framesOfChange(w, 'left out', 'a', 'three'),
    ['down head', 'up fetch', 'down document', 'up applied'],
    'an older device fetches',
  )
  const large = Array.from({ length: 60 }, (_, i) => codec.sha256(codec.encode(`${i}`))).join('')
  t.strictSame(framesOfChange(w, 'pass', 'b', large), ['down head', 'up fetch', 'down document', 'up applied'], 'a large change is fetched')
  t.strictSame(values(w), { a: 'three', b: large })
  t.strictSame(w.log, [])
})

t.test('a patch that was altered or refers to another document is left, and the document is fetched', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  t.strictSame(framesOfChange(w, 'altered', 'a', 'two'), ['down head', 'up fetch', 'down document', 'up applied'])
  t.strictSame(values(w), { a: 'two' })
  w.record.held = { ...w.record.held!, sha256: codec.sha256(codec.encode('unknown to the server')) }
  t.strictSame(framesOfChange(w, 'pass', 'a', 'three'), ['down head', 'up fetch', 'down document', 'up applied'])
  t.strictSame(values(w), { a: 'three' })
  t.strictSame([w.refused, w.log], [[], []])
})

t.test('a patch makes no forged or conflicting head acceptable', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  const { head } = w.disk!
  const bytes = documentBytes(codec, documentOf({ a: 'evil' }))
  const base = documentBytes(codec, documentOf({ a: 'one' }))
  const patch = { base: head.sha256, data: codec.toBase64(makePatch(codec, bytes, base)) }
  const evil = { epoch: head.epoch, generation: head.generation + 1, sha256: codec.sha256(bytes), size: bytes.length }
  const offer = (part: Partial<typeof evil>, key: string): void => {
    const bare = { ...evil, ...part }
    const signed = { ...bare, sig: signWith(key, headText(DEVICE, bare)) }
    put(w, { in: 'frame', conn: w.device.conn, text: JSON.stringify({ t: 'head', head: signed, patch }) })
    drain(w)
  }
  offer({}, 'stolen')
  offer({ generation: head.generation - 1 }, 'key')
  offer({ epoch: 'e2', generation: head.generation - 1 }, 'key')
  t.strictSame(w.refused, ['signature', 'older', 'conflict'])
  t.strictSame([values(w), w.applied.length], [{ a: 'one' }, 1])
  offer({}, 'key')
  t.strictSame(values(w), { a: 'evil' }, 'with a good head it would have been taken')
})

t.test('a document that came with its head waits for a full disk like any other', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  w.diskFull = true
  t.strictSame(framesOfChange(w, 'pass', 'a', 'two'), ['down head'])
  t.equal(w.applied.length, 1)
  w.diskFull = false
  const mark = w.bytes.frames.length
  run(w, 10 * 60_000)
  t.ok(frames(w, mark).includes('up applied'))
  t.notOk(frames(w, mark).includes('up fetch'))
  t.strictSame(values(w), { a: 'two' })
})

t.test('a restored server with lower content pauses the device until the operator decides, on either side', async t => {
  for (const side of ['device', 'server'] as const) {
    const w = newWorld()
    for (let i = 0; i < 9; i++) change(w, 'a', `v${i}`)
    run(w, 1000)
    w.truth.revision = 3
    w.truth.values = { a: 'restored' }
    w.desk.epoch = 'e2'
    startServer(w)
    run(w, 60_000)
    t.strictSame(values(w), { a: 'v8' }, 'what runs keeps running')
    t.match(w.device.desired.conflict?.message, /an operator must decide/)
    t.ok(w.refused.includes('conflict'))
    for (let i = 0; i < 20; i++) change(w, 'a', i === 19 ? 'restored' : `later ${i}`)
    run(w, 1000)
    t.strictSame(values(w), { a: 'v8' }, 'a number that has grown past it decides nothing')
    if (side === 'device') put(w, { in: 'resume' })
    else putServer(w, live(w)!, { in: 'resume' })
    run(w, 1000)
    t.strictSame(values(w), { a: 'restored' })
    t.equal(w.device.desired.conflict, undefined)
    t.equal(w.disk?.head.epoch, 'e2')
    change(w, 'a', 'after')
    run(w, 1000)
    t.strictSame(values(w), { a: 'after' }, 'and the new epoch goes on from there')
    const replay = { epoch: 'e1', generation: 99, sha256: codec.sha256(codec.encode('x')), size: 5 }
    put(w, {
      in: 'frame',
      conn: w.device.conn,
      text: JSON.stringify({ t: 'head', head: { ...replay, sig: signWith('key', headText(DEVICE, replay)) } }),
    })
    drain(w)
    t.equal(w.refused.at(-1), 'older', 'a head of the epoch that was left is old, whatever its generation')
  }
})

t.test('a document that was waiting for the disk when the server was restored does not hide the conflict', async t => {
  const w = newWorld()
  run(w, 1000)
  w.diskFull = true
  change(w, 'a', 'unsaved')
  run(w, 1000)
  w.truth.revision = 1
  w.truth.values = { a: 'restored' }
  w.desk.epoch = 'e2'
  startServer(w)
  run(w, 60_000)
  w.diskFull = false
  run(w, 10 * 60_000)
  t.strictSame(values(w), { a: 'unsaved' })
  t.match(w.device.desired.conflict?.message, /an operator must decide/)
  put(w, { in: 'resume' })
  run(w, 1000)
  t.strictSame(values(w), { a: 'restored' })
})

t.test('a restored server with the same content, or with newer content, is simply followed', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  w.desk.epoch = 'e2'
  w.truth.revision = 1
  startServer(w)
  run(w, 60_000)
  t.equal(w.disk?.head.epoch, 'e2')
  w.desk.epoch = 'e3'
  w.desk.base = w.disk!.head.generation
  w.truth.revision = 100
  w.truth.values = { a: 'newer' }
  startServer(w)
  run(w, 60_000)
  t.strictSame(values(w), { a: 'newer' })
  t.strictSame(w.refused, [])
})

t.test('a restored server that counts on above what it forgot is not followed without a decision', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  const backup = w.truth.revision
  change(w, 'a', 'two')
  run(w, 1000)
  w.desk.epoch = 'e2'
  w.desk.base = backup
  w.truth.revision = backup + 1_000_000
  w.truth.values = { a: 'one' }
  startServer(w)
  run(w, 60_000)
  t.strictSame(values(w), { a: 'two' })
  t.match(w.device.desired.conflict?.message, /knows nothing newer than generation/)
  put(w, { in: 'resume' })
  run(w, 1000)
  t.strictSame(values(w), { a: 'one' })
})

t.test('another version of the server renders the same revision differently: the device follows', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  w.truth.values = { a: 'one', b: 'rendered by a newer server' }
  startServer(w)
  run(w, 60_000)
  t.strictSame(values(w), w.truth.values)
})

t.test('what the disk lost or altered is fetched again; what it holds is not', async t => {
  const w = newWorld()
  change(w, 'a', 'one')
  run(w, 1000)
  w.disk = { head: w.disk!.head, document: documentOf({ a: 'tampered' }) }
  startDevice(w)
  run(w, 60_000)
  t.strictSame(values(w), { a: 'one' })
  t.ok(w.log.some(line => /not what was signed/.test(line)))
  w.disk = undefined
  startDevice(w)
  run(w, 60_000)
  t.strictSame(values(w), { a: 'one' })
  const mark = w.bytes.frames.length
  startDevice(w)
  run(w, 60_000)
  t.notOk(frames(w, mark).includes('up fetch'))
})

t.test('a full disk delays the document; nothing is applied that was not saved', async t => {
  const w = newWorld()
  w.diskFull = true
  change(w, 'a', 'one')
  run(w, 10_000)
  t.strictSame([w.applied.length, frames(w).includes('up applied')], [0, false])
  w.diskFull = false
  run(w, 10 * 60_000)
  t.strictSame(values(w), { a: 'one' })
  t.ok(frames(w).includes('up applied'))
})
