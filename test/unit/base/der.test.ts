import t from 'tap'
import * as der from '../../../src/base/der.ts'
import { fc } from '../../property.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

t.test('writes the encodings of the standard’s own examples', async t => {
  t.equal(hex(der.oid('1.2.840.113549')), '06062a864886f70d')
  t.equal(hex(der.oid('2.999.3')), '0603883703')
  t.equal(hex(der.integer(Uint8Array.of(0))), '020100')
  t.equal(hex(der.integer(Uint8Array.of(0, 0, 0x80))), '02020080')
  t.equal(hex(der.integer(Uint8Array.of(0, 0x7f))), '02017f')
  t.equal(hex(der.boolean(true)), '0101ff')
  t.equal(hex(der.time(Date.UTC(2026, 0, 2, 3, 4, 5, 999))), `170d${Buffer.from('260102030405Z').toString('hex')}`)
  t.equal(hex(der.time(Date.UTC(2050, 0, 1))), `180f${Buffer.from('20500101000000Z').toString('hex')}`)
  t.throws(() => der.time(Date.UTC(10000, 0, 1)), /outside the years/)
})

t.test('reads back what it wrote, at any length', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70_000, size: 'max' }), bytes => {
      const { tag, content, whole } = der.read(der.octetString(bytes))
      return tag === der.TAG.octetString && hex(content) === hex(bytes) && whole.length > bytes.length
    }),
    { numRuns: 50 },
  )
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 6 }), fc.integer({ min: 0, max: 39 }), (arcs, second) => {
      const dotted = ['1', second, ...arcs].join('.')
      return der.dotted(der.read(der.oid(dotted)).content) === dotted
    }),
  )
})

t.test('refuses what is not DER: other lengths, truncation, trailing bytes, too many members', async t => {
  const refused: readonly [string, RegExp][] = [
    ['', /empty/],
    ['30', /inside a length/],
    ['3080020100', /indefinite/],
    ['30810100', /not minimal/],
    ['3082', /inside a length/],
    ['3084ffffffff', /too large/],
    ['3005020100', /inside a value/],
    ['300302010000', /follow/],
    ['1f8101', /more than one byte/],
  ]
  for (const [input, why] of refused) t.throws(() => der.read(Buffer.from(input, 'hex')), why)
  t.throws(() => der.members(der.read(der.octetString())), /a structure was expected/)
  t.throws(() => der.members(der.read(der.sequence(...new Array<Uint8Array>(der.MEMBERS_MAX + 1).fill(der.boolean(true))))), /members/)
  t.equal(der.dotted(Uint8Array.of(0x2a, 0x80)), '')
  t.equal(der.dotted(new Uint8Array(20).fill(0xff)), '')
})

t.test('arbitrary bytes are read or refused in one line, never with another error', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
      try {
        const element = der.read(bytes)
        return element.whole.length === bytes.length
      } catch (error) {
        return error instanceof Error && /^read DER: [^\n]+$/.test(error.message)
      }
    }),
    { numRuns: 2000 },
  )
})
