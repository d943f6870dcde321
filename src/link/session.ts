// The two session machines of the link. Each is a state record and one synchronous function:
//
//   stepDevice(state, input, nowMs) → outputs        wakeDeviceAtMs(state) → when to step with {in:'wake'} at the latest
//   stepServer(state, input, nowMs) → outputs        wakeServerAtMs(state)
//
// The state is a mutable record owned by the machine; nobody else writes to it. `nowMs` is monotonic. A step does no I/O, reads no clock
// and holds no promise; randomness is the `random` of its deps. Outputs are plain records (bytes as Uint8Array) to be carried out in order;
// what they lead to comes back as inputs. So a simulator drives a fleet of these without a promise, and device-link.ts and hub.ts are
// thin shells that do the same with sockets. Frames are text; a connection is named by a number and late news of an old one is ignored.

export { bulkRefusal } from './budget.ts'
export { type DeviceInput, stepDevice, wakeDeviceAtMs } from './session-device.ts'
export {
  type Announcement,
  newRecord,
  newServerState,
  type ServerOutput,
  type ServerRecord,
  type ServerSessionDeps,
  type ServerState,
} from './session-record.ts'
export { usageOf } from './session-reports.ts'
export { type ServerInput, stepServer, wakeServerAtMs } from './session-server.ts'
export { type DeviceOutput, type DeviceSessionDeps, type DeviceState, newDeviceState } from './session-state.ts'
