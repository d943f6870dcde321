import t from 'tap'
import { allocateAddress, contains, deviceAddress, formatAddress, parseAddress, parseRange } from '../../../src/network/address.ts'
import { fc } from '../../property.ts'

t.test('the first pod gets the address after the device and network ones', async t => {
  t.equal(deviceAddress('10.42.3.0/24'), '10.42.3.1')
  t.equal(allocateAddress('10.42.3.0/24', new Set()), '10.42.3.2')
  t.equal(allocateAddress('10.42.3.0/24', new Set(['10.42.3.2', '10.42.3.4'])), '10.42.3.3', 'the lowest free one')
})

t.test('a full range gives undefined, never broadcast or network', async t => {
  const used = new Set<string>()
  for (let next = allocateAddress('10.0.0.0/29', used); next !== undefined; next = allocateAddress('10.0.0.0/29', used)) used.add(next)
  t.same([...used], ['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'])
  t.equal(allocateAddress('10.0.0.0/31', new Set()), undefined)
})

t.test('text that is no range is refused', async t => {
  for (const text of ['', '10.0.0.0', '10.0.0.0/33', '10.0.0/24', '10.0.0.256/8', '10.0.0.01/8', '::/0', '10.0.0.0/24x'])
    t.equal(parseRange(text), undefined, text)
})

t.test('addresses survive format and parse, and what is allocated lies in its range', async () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 0xffffffff }), value => parseAddress(formatAddress(value)) === value))
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 8, max: 30 }), (value, prefix) => {
      const cidr = `${formatAddress(value)}/${prefix}`
      const address = allocateAddress(cidr, new Set())
      return address === undefined ? prefix > 30 : contains(cidr, address) && address !== deviceAddress(cidr)
    }),
  )
})
