import t from 'tap'
import { createAdmission } from '../../../src/link/admission.ts'
import { createDesk } from '../../../src/link/desk.ts'
import { keepaliveAtMs, keepaliveDue, keepaliveHeard, keepaliveOpened, keepalivePong, newKeepalive } from '../../../src/link/keepalive.ts'
import { KEEPALIVE_GOOD_MAX, KEEPALIVE_MS_MIN, STATUS_FRAME_BYTES, STATUS_KEYS_MAX } from '../../../src/link/limits.ts'
import { type MuxOutput, muxConsumed, muxEnd, muxFrame, muxOpen, muxOpened, muxWrite, newMux } from '../../../src/link/mux.ts'
import { applyPatch, makePatch } from '../../../src/link/patch.ts'
import {
  ackStatus,
  digestText,
  newStatusOutbox,
  nextStatusFrame,
  putStatus,
  restartStatus,
  statusWaits,
} from '../../../src/link/status-outbox.ts'
import { createTurns } from '../../../src/link/turns.ts'
import { fc } from '../../property.ts'
import { codec, documentOf } from './world.ts'

const bytes = fc.uint8Array({ maxLength: 3000, size: 'max' })

t.test('a patch turns any document into any other, and a damaged one into none or another digest, never a throw', async t => {
  fc.assert(
    fc.property(bytes, bytes, fc.nat(), fc.option(fc.nat(), { nil: undefined }), (shared, rest, cut, flip) => {
      const base = Buffer.concat([shared, rest])
      const next = Buffer.concat([shared.subarray(0, cut % (shared.length + 1)), Buffer.from('new'), rest])
      const patch = makePatch(codec, next, base)
      if (flip === undefined) return Buffer.compare(applyPatch(codec, patch, base, next.length) ?? Buffer.of(), next) === 0
      patch[flip % patch.length]! ^= 0xff
      const got = applyPatch(codec, patch, base, next.length)
      return got === undefined || got.length === next.length
    }),
    { numRuns: 300 },
  )
  const document = codec.encode(
    JSON.stringify(documentOf(Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`map-${i}`, codec.sha256(codec.encode(`${i}`))])))),
  )
  const edited = Buffer.from(
    Buffer.from(document)
      .toString()
      .replace(codec.sha256(codec.encode('100')), 'one line, edited'),
  )
  t.ok(makePatch(codec, edited, document).length < 60, 'a line of a large document costs its line')
  t.equal(applyPatch(codec, codec.deflate(new Uint8Array(10_000_000), new Uint8Array(0)), undefined, 100), undefined, 'no bomb')
})

t.test('status frames stay within their size, and the digest says what the server then holds', async t => {
  const box = newStatusOutbox()
  for (let i = 0; i < STATUS_KEYS_MAX; i++) putStatus(box, codec, `pod/${i}`, { i, text: 'x'.repeat(i % 500) })
  t.match(putStatus(box, codec, 'pod/more', 1), { changed: false, fault: /keys already/ })
  restartStatus(box)
  let frames = 0
  for (let text = nextStatusFrame(box); text !== undefined; text = nextStatusFrame(box)) {
    const frame = JSON.parse(text) as { seq: number; whole: boolean; digest: string; items: unknown[] }
    t.equal(frame.whole, frames++ === 0)
    if (text.length > STATUS_FRAME_BYTES + 20_000) t.fail(`${text.length} bytes`)
    if (box.dirty.size === 0) t.equal(frame.digest, digestText(box.digest))
    ackStatus(box, frame.seq)
  }
  t.ok(frames > 3)
  t.notOk(statusWaits(box))
  putStatus(box, codec, 'pod/1', { i: 1, text: 'x' })
  t.notOk(statusWaits(box), 'an equal value costs nothing')
})

const answer = (k: ReturnType<typeof newKeepalive>): void => {
  const at = keepaliveAtMs(k)
  keepaliveDue(k, at)
  keepalivePong(k, k.n)
  keepaliveHeard(k, at + 50)
}

const breakOff = (k: ReturnType<typeof newKeepalive>): void => {
  keepaliveDue(k, keepaliveAtMs(k))
  keepaliveDue(k, keepaliveAtMs(k))
  keepaliveOpened(k, k.capMs, k.heardMs + k.intervalMs + 60_000)
}

t.test('keepalive doubles while it is answered, halves where a length never was, and then takes longer to try again', async t => {
  const k = newKeepalive(60_000)
  keepaliveOpened(k, 240_000, 0)
  for (let i = 0; i < 3; i++) answer(k)
  t.equal(k.intervalMs, 120_000)
  breakOff(k)
  t.equal(k.intervalMs, 60_000)
  for (let i = 0; i < 11; i++) answer(k)
  t.equal(k.intervalMs, 60_000)
  answer(k)
  t.equal(k.intervalMs, 120_000)
})

t.test(
  'a link that breaks is not taken for a path that forgets: the keepalive keeps its interval, or has it back within the hour',
  async t => {
    const k = newKeepalive(20_000)
    keepaliveOpened(k, 20_000, 0)
    answer(k)
    for (let i = 0; i < 10; i++) {
      breakOff(k)
      t.equal(k.intervalMs, 20_000, 'a length that was answered before')
      answer(k)
    }
    for (let i = 0; i < 50; i++) breakOff(k)
    t.equal(k.intervalMs, KEEPALIVE_MS_MIN)
    const sinceMs = k.heardMs
    let pings = 0
    while (k.intervalMs < 20_000) {
      answer(k)
      pings++
    }
    t.ok(pings <= KEEPALIVE_GOOD_MAX)
    t.ok(k.heardMs - sinceMs <= 3_600_000)
  },
)

t.test('streams: whatever the sizes and the order of reading, all bytes arrive in order within the credit', async () => {
  const step = fc.oneof(
    fc.record({ write: fc.uint8Array({ maxLength: 60_000, size: 'max' }), channel: fc.nat(7) }),
    fc.constant('read' as const),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), steps => {
      const a = newMux()
      const b = newMux()
      const unread: { id: number; data: Uint8Array; channel: number }[] = []
      const got: number[][] = Array.from({ length: 8 }, () => [])
      const sent: number[][] = Array.from({ length: 8 }, () => [])
      const ended: (string | undefined)[] = []
      const carry =
        (other: () => typeof a, back: () => (output: MuxOutput) => void) =>
        (output: MuxOutput): void => {
          if (output.do === 'data') unread.push(output)
          else if (output.do === 'ended') ended.push(output.error)
          else if (output.do === 'send') {
            const frame = JSON.parse(output.text)
            if (frame.t === 'open') muxOpened(other(), frame.id, frame.credit, back())
            else muxFrame(other(), frame, codec, back())
          }
        }
      const fromA = carry(
        () => b,
        () => fromB,
      )
      const fromB = carry(
        () => a,
        () => fromA,
      )
      const id = muxOpen(a, { do: 'logs', namespace: 'n', pod: 'p', container: 'c', options: {} }, false, fromA)!
      const read = (): void => {
        const next = unread.shift()
        if (!next) return
        for (const byte of next.data) got[next.channel]!.push(byte)
        muxConsumed(a, id, next.data, fromA)
      }
      for (const s of steps) {
        if (s === 'read') read()
        else {
          muxWrite(b, id, s.write, s.channel, codec, fromB)
          if (b.streams.has(id)) sent[s.channel]!.push(...s.write)
        }
        if (unread.reduce((sum, piece) => sum + piece.data.length, 0) > 64 * 1024) return false
      }
      const alive = b.streams.has(id)
      muxEnd(b, id, undefined, codec, fromB)
      while (unread.length > 0) read()
      return !alive || (JSON.stringify(got) === JSON.stringify(sent) && ended.length === 1 && a.streams.size + b.streams.size === 0)
    }),
    { numRuns: 100 },
  )
})

t.test('a stream whose writer does not wait, and one that sends beyond its credit, are ended', async t => {
  const out: MuxOutput[] = []
  const mux = newMux()
  muxOpened(mux, 1, 10, output => out.push(output))
  for (let i = 0; i < 20; i++) muxWrite(mux, 1, new Uint8Array(100_000), 0, codec, output => out.push(output))
  t.match(out.at(-1), { do: 'ended', error: /does not wait/ })
  t.equal(mux.streams.size, 0)
  muxOpened(mux, 2, 4, output => out.push(output))
  muxFrame(mux, { t: 'data', id: 2, channel: 0, data: codec.toBase64(new Uint8Array(5)) }, codec, output => out.push(output))
  t.match(out.at(-1), { do: 'ended', error: /credit/ })
  t.notOk(
    muxOpened(mux, 2, 4, () => {}),
    'a number is used once',
  )
})

t.test('admission: tokens come back at the rate, and the herd window holds all devices', async t => {
  const admission = createAdmission(10, 2)
  t.strictSame([admission.ask(0), admission.ask(0), admission.ask(0) > 0], [0, 0, true])
  t.strictSame([admission.ask(100), admission.ask(100) > 0], [0, true])
  t.equal(admission.herdWindowMs(100), 10_000)
  t.equal(admission.herdWindowMs(10_000_000), 15 * 60_000)
})

t.test('turns: one at a time, the next one also after a failure, none without bound', async t => {
  const turns = createTurns()
  const order: string[] = []
  const gate: { open: () => void } = { open: () => {} }
  const first = turns.take('d', () => new Promise(resolve => (gate.open = resolve)))
  const second = turns.take('d', async () => {
    order.push('second')
    throw new Error('no')
  })
  const third = turns.take('d', async () => void order.push('third'))
  const fourth = turns.take('d', async () => void order.push('fourth'))
  await t.rejects(
    turns.take('d', async () => void order.push('fifth')),
    /have not ended/,
  )
  await turns.take('other', async () => void order.push('other'))
  t.strictSame(order, ['other'])
  gate.open()
  await first
  await t.rejects(second, /no/)
  await Promise.all([third, fourth])
  await turns.settled()
  t.strictSame(order, ['other', 'second', 'third', 'fourth'])
})

t.test('the desk keeps documents within its shelf, and makes a patch from nothing when the base is gone', async t => {
  const truth = { revision: 1, value: '' }
  const desk = createDesk(
    {
      epoch: 'e',
      codec,
      sign: () => 'sig',
      render: device => ({ document: documentOf({ a: truth.value }, device), revision: truth.revision }),
    },
    20_000,
  )
  const first = desk.offer('d', null).head!
  for (let i = 0; i < 50; i++) {
    truth.revision++
    truth.value = codec.sha256(codec.encode(`${i}`)).repeat(50)
    desk.changed('d')
    desk.offer('d', null)
    t.ok(desk.shelfBytes <= 20_000)
  }
  const last = desk.offer('d', null).head!
  t.equal(last.generation, 51)
  t.equal(desk.patch('d', last.sha256, first.sha256)?.base, '')
  t.equal(desk.patch('d', first.sha256, ''), undefined, 'what is neither kept nor present is not to be had')
})

t.test('the desk gives no device the document of another, whole or as a base, though it knows its digest', async t => {
  const desk = createDesk({
    epoch: 'e',
    codec,
    sign: () => 'sig',
    render: device => ({ document: documentOf({ secret: `of ${device}` }, device), revision: 1 }),
  })
  const mine = desk.offer('mine', null).head!
  const theirs = desk.offer('theirs', null).head!
  t.ok(desk.patch('theirs', theirs.sha256, ''))
  t.equal(desk.patch('mine', theirs.sha256, ''), undefined)
  t.equal(desk.patch('mine', mine.sha256, theirs.sha256)?.base, '')
})

t.test('the desk refuses a document that is too large and says so, and the device keeps what it has', async t => {
  const desk = createDesk({
    epoch: 'e',
    codec,
    sign: () => 'sig',
    render: () => ({ document: documentOf({ a: 'x'.repeat(9_000_000) }), revision: 1 }),
  })
  t.match(desk.offer('d', null), { error: /more than 8388608/ })
})
