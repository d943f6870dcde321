// What is wired from outside the room: the two shells, and the transports there are. A new transport is one file and one line; all pass
// test/contract/link-transport.test.ts. (link.ts has the types alone, so that pure files may import it.)

export { openDeviceLink } from '../device-link.ts'
export { createHub } from '../hub.ts'
export { type MemoryOptions, memoryDialer, memoryPair } from './memory.ts'
export { type WebSocketDialerOptions, webSocketDialer } from './websocket-client.ts'
export { type AcceptWebSocket, LINK_PATH, webSocketAcceptor } from './websocket-server.ts'
