// What is wired from outside the room: the two shells, and the transports there are. A new transport is one file and one line; all pass
// test/contract/link-transport.test.ts. (link.ts has the types alone, so that pure files may import it.)

export { openDeviceLink } from '../device-link.ts'
export { createHub } from '../hub.ts'
export { PROFILES } from '../limits.ts'
export type { BrokerConfigOptions } from './broker-config.ts'
export type { BrokerDialerOptions } from './broker-dialer.ts'
export type { BrokerServer, BrokerServerDeps } from './broker-server.ts'
export { BROKER_CLIENT_NAME } from './broker-topics.ts'
export { failoverDialer, type Way } from './failover.ts'
export { type MemoryOptions, memoryDialer, memoryPair } from './memory.ts'
export { clusterIdOf } from './mqtt-topics.ts'
export { BROKER_ORGANIZATION } from './tls-dial.ts'
export { type WebSocketDialerOptions, webSocketDialer } from './websocket-client.ts'
export { type AcceptWebSocket, LINK_PATH, webSocketAcceptor } from './websocket-server.ts'

/** The ways of a broker; only who uses one pays for them. */
export const loadBroker = () => import('./broker.ts')

/** MQTT straight between device and server; only who uses it pays for it. */
export const loadMqtt = () => import('./mqtt.ts')
