import t from 'tap'
import {
  clusterIdOf,
  everyDevice,
  isDeviceName,
  parseTopic,
  TOPIC_BYTES_MAX,
  TOPIC_KINDS,
  topicOf,
} from '../../../../src/link/transports/mqtt-topics.ts'
import { fc } from '../../../property.ts'

const CLUSTER = '0123456789abcdef'

t.test('the cluster id is the beginning of the authority’s pin, and nothing else will do', async t => {
  t.equal(clusterIdOf(`${CLUSTER}${'0'.repeat(48)}`), CLUSTER)
  for (const pin of ['', 'abc', '+'.repeat(64), CLUSTER.toUpperCase()]) t.throws(() => clusterIdOf(pin), /is not a hex SHA-256/)
})

t.test('names that reach beyond their level have no topic', async t => {
  for (const device of ['', '+', '#', 'a/b', '$SYS', 'a+', 'A', 'a\u0000', 'a b', '-a', 'a.', 'ä', 'a'.repeat(254)])
    t.throws(() => topicOf({ cluster: CLUSTER, device, kind: 'up' }), /is not a device name/, device)
  for (const cluster of ['', '+', `${CLUSTER}0`, '../../aaaaaaaaaa'])
    t.throws(() => topicOf({ cluster, device: 'a', kind: 'up' }), /is not a cluster id/, cluster)
  t.throws(() => everyDevice('+', 'up'), /is not a cluster id/)
})

t.test('only what topicOf makes is parsed', async t => {
  const bad = [
    '',
    '/',
    `$share/g/helio/v1/${CLUSTER}/a/up`,
    `helio/v1/${CLUSTER}/a/up/`,
    `helio/v1/${CLUSTER}/+/up`,
    `helio/v1/${CLUSTER}/a/#`,
  ]
  for (const topic of [...bad, `helio/v2/${CLUSTER}/a/up`, `helio/v1/${CLUSTER}/a`, `helio/v1/${CLUSTER}/a/Up`, everyDevice(CLUSTER, 'up')])
    t.equal(parseTopic(topic), undefined, topic)
})

t.test('a topic names its device and kind, both ways, and fits its bound', async t => {
  const device = fc.stringMatching(/^[a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?$/)
  fc.assert(
    fc.property(device, fc.constantFrom(...TOPIC_KINDS), (device, kind) => {
      const topic = topicOf({ cluster: CLUSTER, device, kind })
      t.strictSame(parseTopic(topic), { cluster: CLUSTER, device, kind })
    }),
  )
  fc.assert(
    fc.property(fc.string(), text => {
      const parsed = parseTopic(text)
      return parsed === undefined || topicOf(parsed) === text
    }),
  )
  t.equal(topicOf({ cluster: CLUSTER, device: 'a'.repeat(253), kind: 'alive' }).length, TOPIC_BYTES_MAX)
  t.ok(isDeviceName('tower-7.site'))
})
