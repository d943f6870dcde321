import t from 'tap'
import { CHANNEL_FRAME_BYTES_MAX, channelFrames, channelReader } from '../../../src/base/channel-frames.ts'
import { fc } from '../../property.ts'

t.test('whatever is framed and however it is cut, it comes out whole and in order', async t => {
  const message = fc.record({ channel: fc.nat(255), data: fc.uint8Array({ maxLength: 300 }) })
  fc.assert(
    fc.property(fc.array(message, { maxLength: 20 }), fc.array(fc.nat(400), { maxLength: 40 }), (messages, cuts) => {
      const wire = Buffer.concat(messages.map(({ channel, data }) => channelFrames(channel, data)))
      const read = channelReader()
      const found: { channel: number; data: number[] }[] = []
      let at = 0
      for (const cut of [...cuts, wire.length]) {
        for (const frame of read(wire.subarray(at, at + cut))) found.push({ channel: frame.channel, data: [...frame.data] })
        at += cut
      }
      t.same(
        found,
        messages.map(({ channel, data }) => ({ channel, data: [...data] })),
      )
    }),
    { numRuns: 100 },
  )
})

t.test('long data goes in several frames, a frame above the bound is refused', async t => {
  const data = new Uint8Array(CHANNEL_FRAME_BYTES_MAX * 2 + 1).fill(7)
  const frames = channelReader()(channelFrames(1, data))
  t.same(
    frames.map(frame => frame.data.length),
    [CHANNEL_FRAME_BYTES_MAX, CHANNEL_FRAME_BYTES_MAX, 1],
  )
  t.throws(() => channelReader()(new Uint8Array([1, 0xff, 0, 0, 0])), RangeError)
})
