// What a server or a device with a broker needs, in one piece: loaded only by those that use one (see index.ts).

export { mosquittoConfig } from './broker-config.ts'
export { brokerDialer } from './broker-dialer.ts'
export { mqttLine } from './broker-mqtt.ts'
export { openBrokerServer } from './broker-server.ts'
export { BROKER_CLIENT_NAME } from './broker-topics.ts'
