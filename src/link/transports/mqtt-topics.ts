// The topics of one cluster's devices on MQTT: four a device, none per pod. A name that could reach beyond its own level is no name.
//   helio/v1/<cluster>/<device>/up     device → server: frames, QoS 1
//   helio/v1/<cluster>/<device>/down   server → device: frames, QoS 1
//   helio/v1/<cluster>/<device>/head   server → device: the signed head, retained
//   helio/v1/<cluster>/<device>/alive  device → server: a hint of liveness, retained, and the will
// DESIGN section 6.5; MQTT 5 section 4.7.

const PREFIX = 'helio/v1'
const CLUSTER_CHARS = 16
/** Names of nodes are DNS names; a longer one has no topic. */
const DEVICE_CHARS_MAX = 253
/** `helio/v1/`, the cluster, the longest device and the longest kind; a longer topic is none of ours, and is not looked at further. */
export const TOPIC_BYTES_MAX = PREFIX.length + 1 + CLUSTER_CHARS + 1 + DEVICE_CHARS_MAX + 1 + 5

export type TopicKind = 'up' | 'down' | 'head' | 'alive'
export const TOPIC_KINDS: readonly TopicKind[] = ['up', 'down', 'head', 'alive']

export interface Topic {
  readonly cluster: string
  readonly device: string
  readonly kind: TopicKind
}

const CLUSTER = new RegExp(`^[0-9a-f]{${CLUSTER_CHARS}}$`)
const DEVICE = /^[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/

/** No wildcard, no separator, no "$" and nothing that a broker's rules could read otherwise: a DNS name. */
export const isDeviceName = (name: string): boolean => name.length <= DEVICE_CHARS_MAX && DEVICE.test(name)

/** The cluster's id in topics: the first characters of its authority's pin (hex SHA-256 of the public key, `Pki.publicKeyPin`). */
export const clusterIdOf = (authorityPin: string): string => {
  const id = authorityPin.slice(0, CLUSTER_CHARS)
  if (!CLUSTER.test(id)) throw new Error(`name cluster: ${JSON.stringify(authorityPin.slice(0, 80))} is not a hex SHA-256`)
  return id
}

/** A device's topic; throws on a name that has none, so that no caller can be led to another device's. */
export const topicOf = ({ cluster, device, kind }: Topic): string => {
  if (!CLUSTER.test(cluster)) throw new Error(`name topic: ${JSON.stringify(cluster.slice(0, 80))} is not a cluster id`)
  if (!isDeviceName(device)) throw new Error(`name topic: ${JSON.stringify(device.slice(0, 80))} is not a device name`)
  return `${PREFIX}/${cluster}/${device}/${kind}`
}

/** The filter of one kind for all devices of a cluster: for the server alone, at a broker. */
export const everyDevice = (cluster: string, kind: TopicKind): string => {
  if (!CLUSTER.test(cluster)) throw new Error(`name topic: ${JSON.stringify(cluster.slice(0, 80))} is not a cluster id`)
  return `${PREFIX}/${cluster}/+/${kind}`
}

/** Undefined for every text that `topicOf` does not make: filters, shared subscriptions and `$SYS` among them. */
export const parseTopic = (topic: string): Topic | undefined => {
  if (topic.length > TOPIC_BYTES_MAX) return undefined
  const [prefix, version, cluster, device, kind, ...more] = topic.split('/')
  if (`${prefix}/${version}` !== PREFIX || cluster === undefined || device === undefined || more.length > 0) return undefined
  const known = TOPIC_KINDS.find(each => each === kind)
  return known && CLUSTER.test(cluster) && isDeviceName(device) ? { cluster, device, kind: known } : undefined
}
