// Topics at a broker that is not ours. Brokers know a client by its certificate's common name and put that into their rules (`%u` of
// mosquitto, `${cert_common_name}` of EMQX), so there the level of a device is `system:node:<name>`; all else is as in mqtt-topics.ts.

import { everyDevice, parseTopic, type TopicKind, topicOf } from './mqtt-topics.ts'

/** The common names of devices' certificates begin so. */
export const NODE_COMMON_NAME = 'system:node:'
/** Common name of the certificate with which the server comes to a broker. */
export const BROKER_CLIENT_NAME = 'heliopause:server'

/** Throws on a name that is no device's. */
export const brokerTopic = (cluster: string, device: string, kind: TopicKind): string =>
  topicOf({ cluster, device, kind }).replace(`/${cluster}/`, `/${cluster}/${NODE_COMMON_NAME}`)

/** The filter of one kind for all devices: for the server alone. */
export const everyBrokerTopic = (cluster: string, kind: TopicKind): string => everyDevice(cluster, kind)

/** Undefined for every topic that `brokerTopic` does not make for this cluster. */
export const parseBrokerTopic = (cluster: string, topic: string): { readonly device: string; readonly kind: TopicKind } | undefined => {
  const parsed = parseTopic(topic.replace(`/${NODE_COMMON_NAME}`, '/'))
  return parsed?.cluster === cluster && topic.includes(`/${NODE_COMMON_NAME}`) ? { device: parsed.device, kind: parsed.kind } : undefined
}
