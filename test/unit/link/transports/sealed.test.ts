// A sealed conversation under a hostile or merely bad broker: what comes out is a beginning of what went in, in order, each once, or the
// conversation ends.

import t from 'tap'
import { BROKER_EARLY_MAX, BROKER_GAP_MS, BROKER_WINDOW_MESSAGES } from '../../../../src/link/limits.ts'
import { fc } from '../../../property.ts'
import { manualClock } from '../manual-clock.ts'
import { type SealedEnd, sealedPair } from './sealed-pair.ts'

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

interface Letter {
  readonly to: SealedEnd
  readonly payload: Uint8Array
}

/** The pair and the letters that lie between its ends. */
const withLetters = () => {
  const clock = manualClock()
  const letters: Letter[] = []
  const pair = sealedPair(clock, (from, payload) => void letters.push({ to: from === 'device' ? pair.server : pair.device, payload }))
  const deliverAll = (): void => {
    for (let next = letters.shift(); next; next = letters.shift()) next.to.hear(next.payload)
  }
  return { clock, letters, deliverAll, ...pair }
}

t.test('carries frames both ways and a close with its reason', async t => {
  const { device, server, deliverAll } = withLetters()
  device.connection.prove()
  device.connection.send('{"up":1}')
  server.connection.send('{"down":1}')
  deliverAll()
  t.strictSame([server.frames, device.frames], [['{"up":1}'], ['{"down":1}']])
  server.connection.send('{"last":1}')
  server.connection.close('enough')
  deliverAll()
  await turn()
  t.strictSame([device.frames, device.closes, server.closes], [['{"down":1}', '{"last":1}'], ['enough'], ['enough']])
})

t.test('what is sealed shows nothing of what it says', async t => {
  const { device, letters } = withLetters()
  device.connection.send('{"secret":"sesame"}')
  for (const { payload } of letters) t.notOk(Buffer.from(payload).includes('sesame'))
  t.equal(letters[0]?.payload.length, '{"secret":"sesame"}'.length + 30, 'thirty bytes more than the frame')
})

t.test('a message delivered again, or forged, or cut, changes nothing', async t => {
  const { device, server, letters, deliverAll } = withLetters()
  device.connection.send('one')
  const copy = Uint8Array.from(letters[0]!.payload)
  deliverAll()
  for (let i = 0; i < 3; i++) server.hear(copy)
  device.connection.send('two')
  const second = letters.shift()!.payload
  for (let at = 0; at < second.length; at++) {
    const forged = Uint8Array.from(second)
    forged[at] = forged[at]! ^ 1
    server.hear(forged)
    server.hear(second.subarray(0, at))
  }
  t.strictSame(server.frames, ['one'])
  // Nor is a device's own message taken for the server's.
  device.hear(second)
  t.strictSame(device.frames, [])
  server.hear(second)
  t.strictSame([server.frames, server.closes, device.closes], [['one', 'two'], [], []])
})

t.test('messages out of order are put in order; one that stays away ends the conversation, and only then', async t => {
  const { clock, device, server, letters } = withLetters()
  for (const word of ['a', 'b', 'c', 'd']) device.connection.send(word)
  const [a, b, c, d] = letters.splice(0).map(letter => letter.payload) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  for (const payload of [d, b, a]) server.hear(payload)
  t.strictSame(server.frames, ['a', 'b'])
  await clock.pass(BROKER_GAP_MS - 1)
  server.hear(c)
  t.strictSame(server.frames, ['a', 'b', 'c', 'd'])
  t.equal(clock.armed, 0, 'no timer is left')
  device.connection.send('e')
  device.connection.send('f')
  server.hear(letters.at(-1)!.payload)
  await clock.pass(BROKER_GAP_MS)
  t.strictSame([server.frames, server.closes], [['a', 'b', 'c', 'd'], ['the broker lost a message']])
  server.hear(letters[0]!.payload)
  t.strictSame(server.frames, ['a', 'b', 'c', 'd'], 'what comes afterwards is late')
})

t.test('no more goes out than the window while nothing is confirmed; the rest waits here and goes when it is', async t => {
  const { device, server, letters, deliverAll } = withLetters()
  const drained: string[] = []
  device.connection.onDrain = () => void drained.push('empty')
  const words = Array.from({ length: 3 * BROKER_WINDOW_MESSAGES }, (_, i) => `word ${i}`)
  for (const word of words) device.connection.send(word)
  t.equal(letters.length, BROKER_WINDOW_MESSAGES)
  t.ok(device.connection.queuedBytes > 0)
  deliverAll()
  t.strictSame(server.frames, words)
  t.equal(device.connection.queuedBytes, 0)
  t.strictSame(drained, ['empty'])
})

t.test('a flood of numbers far ahead is dropped, and keeps nothing', async t => {
  const { clock, device, server, letters } = withLetters()
  const far: Uint8Array[] = []
  for (let i = 0; i < 3; i++) {
    device.connection.send('x')
    far.push(letters.shift()!.payload)
  }
  const ahead = Uint8Array.from(far[2]!)
  Buffer.from(ahead.buffer).writeUInt32BE(BROKER_EARLY_MAX + 10, 5)
  server.hear(ahead)
  t.equal(clock.armed, 0)
  for (const payload of far) server.hear(payload)
  t.strictSame(server.frames, ['x', 'x', 'x'])
})

t.test('a device that leaves a gap and floods behind it is cut off before it costs much', async t => {
  const { server, sealUp, clock } = withLetters()
  const counts: number[] = []
  for (let sequence = 2; !server.connection.over; sequence++) {
    server.hear(sealUp(sequence, 'x'.repeat(100_000)))
    counts.push(sequence)
  }
  await turn()
  t.strictSame([counts.length, server.frames, server.closes], [4, [], ['protocol: more came than was confirmed']])
  t.equal(clock.armed, 0)
})

/** What a broker may do with the letters that lie there. */
const deed = fc.record({
  pick: fc.nat({ max: 40 }),
  does: fc.constantFrom('deliver', 'deliver', 'deliver', 'repeat', 'drop', 'flip', 'cut', 'hold', 'send up', 'send down'),
  at: fc.nat({ max: 200 }),
})

t.test('property: whatever a broker does, each side hears a beginning of what the other said, in order and once', async t => {
  await fc.assert(
    fc.asyncProperty(fc.array(deed, { maxLength: 200 }), fc.boolean(), async (deeds, finish) => {
      const { clock, letters, device, server, deliverAll } = withLetters()
      const said = { up: [] as string[], down: [] as string[] }
      const past: Letter[] = []
      const say = (side: 'up' | 'down'): void => {
        const word = `${side} ${said[side].length}`
        const end = side === 'up' ? device : server
        if (end.connection.over) return
        said[side].push(word)
        end.connection.send(word)
      }
      let lost = false
      for (const { pick, does, at } of deeds) {
        if (does === 'send up' || does === 'send down') {
          say(does === 'send up' ? 'up' : 'down')
          continue
        }
        const from = does === 'repeat' ? past : letters
        const letter = from[pick % Math.max(1, from.length)]
        if (!letter || does === 'hold') continue
        if (does !== 'repeat') letters.splice(letters.indexOf(letter), 1)
        if (does === 'flip' || does === 'cut' || does === 'drop') lost = true
        const payload = Uint8Array.from(letter.payload)
        if (does === 'flip') payload[at % payload.length] = payload[at % payload.length]! ^ (1 + (at % 255))
        if (does !== 'drop') letter.to.hear(does === 'cut' ? payload.subarray(0, at % payload.length) : payload)
        past.push(letter)
      }
      for (const [heard, words] of [
        [server.frames, said.up],
        [device.frames, said.down],
      ] as const)
        if (JSON.stringify(heard) !== JSON.stringify(words.slice(0, heard.length))) return false
      if (!finish) return true
      // The second time is for a close that itself came after a gap.
      for (let i = 0; i < 2; i++) {
        deliverAll()
        await clock.pass(BROKER_GAP_MS)
      }
      // Nothing was lost: all of it arrives. Something was: whoever could have noticed has ended it, and nothing is armed or kept.
      const whole = server.frames.length === said.up.length && device.frames.length === said.down.length
      return clock.armed === 0 && (lost || whole)
    }),
    { numRuns: 300 },
  )
  t.pass()
})
