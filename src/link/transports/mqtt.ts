// MQTT without a broker between: the server's own endpoint and the device's way to it. Loaded by who uses them alone.

export { type MqttDialerOptions, mqttDialer } from './mqtt-dialer.ts'
export { createMqttEndpoint, listenMqtt, type MqttEndpoint, type MqttEndpointDeps, type MqttListener } from './mqtt-endpoint.ts'
