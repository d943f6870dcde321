import t from 'tap'
import { crc32, plainCrc32, rowSum } from '../../../src/store/checksum.ts'
import { fc } from '../../property.ts'

t.test('is CRC-32 as the world knows it, with or without Node’s own', async each => {
  each.equal(plainCrc32(Buffer.from('123456789')), 0xcb_f4_39_26)
  fc.assert(fc.property(fc.uint8Array(), fc.nat(), (bytes, seed) => each.equal(crc32(bytes, seed), plainCrc32(bytes, seed))))
})

t.test('a row’s sum changes with each of its parts', async each => {
  const row = { key: 'a/b', revision: 12, createRevision: 1, value: Buffer.from('{}') }
  const variants = [row, { ...row, key: 'a/c' }, { ...row, revision: 1, createRevision: 21 }, { ...row, value: Buffer.from('[]') }]
  each.equal(new Set(variants.map(rowSum)).size, variants.length)
})
