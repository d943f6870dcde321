import t from 'tap'
import { linkName, linkPrefix, tableName } from '../../../src/network/routed.ts'
import { checkAddress, checkConfig, hostBatch, natTable, podBatch } from '../../../src/network/rules.ts'

t.test('a link is born with its far end in the pod, and only the pod is routed to it', async t => {
  const link = { device: 'heabcd012345678', netns: '/p/ns/net', address: '10.42.3.2', gateway: '10.42.3.1' }
  t.same(hostBatch(link).trim().split('\n'), [
    'link add heabcd012345678 type veth peer name eth0 netns /p/ns/net',
    'addr add 10.42.3.1/32 dev heabcd012345678',
    'link set heabcd012345678 up',
    'route replace 10.42.3.2/32 dev heabcd012345678 src 10.42.3.1',
  ])
  t.match(podBatch(link), 'route replace default via 10.42.3.1 dev eth0')
})

t.test('the table is replaced in one transaction and leaves traffic inside the cluster alone', async t => {
  const text = natTable('helio_x', { podCIDR: '10.42.3.0/24', clusterCIDR: '10.42.0.0/16' })
  t.match(text, /^add table ip helio_x\ndelete table ip helio_x\ntable ip helio_x \{/)
  t.match(text, 'ip saddr 10.42.3.0/24 ip daddr != 10.42.0.0/16')
})

t.test('ranges and addresses that could smuggle rules are refused', async t => {
  t.throws(() => checkConfig({ podCIDR: '10.0.0.0/24; flush ruleset', clusterCIDR: '10.0.0.0/8' }), /podCIDR/)
  t.throws(() => checkConfig({ podCIDR: '10.0.0.0/31', clusterCIDR: '10.0.0.0/8' }), /too small/)
  t.throws(() => checkAddress('10.0.0.2\nlink delete eth0'), /not an IPv4 address/)
})

t.test('names fit the kernel and differ by instance and by pod', async t => {
  t.equal(linkName('/a', 'u1').length, 15)
  t.not(linkName('/a', 'u1'), linkName('/a', 'u2'))
  t.not(linkName('/a', 'u1'), linkName('/b', 'u1'))
  t.ok(linkName('/a', 'u1').startsWith(linkPrefix('/a')))
  t.not(tableName('/a'), tableName('/b'))
})
