// The device's local API: HTTP on the Unix socket DIR/agent.sock. GET /v1/status → DeviceStatus; GET /v1/pods → {items: DevicePod[]};
// GET /v1/images → {items: DeviceImage[]}; GET /v1/logs?namespace&pod&container&follow&previous&timestamps&tail&sinceSeconds&limitBytes →
// text; POST /v1/images/refresh → {items: DeviceImage[]}. Failures: LocalError. The socket file's mode (0600) says who may ask.

export type { DeviceContainer, DeviceImage, DevicePod, DeviceStatus, LocalError, LocalLogsQuery } from './local-shapes.ts'
