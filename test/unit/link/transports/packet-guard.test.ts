// What a broker declares is judged by its first bytes, however they arrive.

import t from 'tap'
import { encodePacket } from '../../../../src/link/transports/mqtt-packets.ts'
import { PacketGuard } from '../../../../src/link/transports/packet-guard.ts'
import { fc } from '../../../property.ts'

const publish = (bytes: number): Buffer =>
  encodePacket({ cmd: 'publish', topic: 't', payload: Buffer.alloc(bytes), qos: 0, dup: false, retain: false })

t.test('property: packets within the bound pass in whatever pieces they come, the first above it does not', async t => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 20_000 }), { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 30_000 }), { minLength: 1, maxLength: 20 }),
      fc.boolean(),
      (sizes, cuts, large) => {
        const guard = new PacketGuard(20_100)
        const bytes = Buffer.concat([...sizes.map(publish), ...(large ? [publish(21_000)] : []), ...sizes.map(publish)])
        let ok = true
        for (let at = 0, n = 0; ok && at < bytes.length; n++) {
          const cut = cuts[n % cuts.length]!
          ok = guard.take(bytes.subarray(at, at + cut))
          at += cut
        }
        return ok === !large
      },
    ),
  )
  t.pass()
})

t.test('a length that never ends is none, and a large one is refused before a byte of it has come', async t => {
  t.equal(new PacketGuard(1e9).take(Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0xff)), false)
  t.equal(new PacketGuard(1000).take(Uint8Array.of(0x30, 0xe9, 0x07)), false)
  t.equal(new PacketGuard(1000).take(Uint8Array.of(0x30, 0xe8, 0x07)), true)
  t.equal(new PacketGuard(1000).take(Uint8Array.of(0xd0, 0, 0xd0, 0)), true, 'packets without a body')
})
