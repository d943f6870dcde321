// Bounds of exec, attach and port-forward on the API's side, with what happens at each.

/** Connections of these verbs open at once, of all callers. More: 429 with Retry-After. */
export const STREAM_CONNECTIONS_MAX = 200
/** A connection that carries nothing for so long is closed. Source: kubelet's --streaming-connection-idle-timeout. */
export const STREAM_IDLE_MS_MAX = 4 * 3_600_000
/** The streams a client has to create, and the two halves of a forwarded connection, have so long to come; then the connection, or the half, ends. */
export const STREAM_CREATE_MS_MAX = 30_000
/** Bytes of a client that the device has not taken yet; above it the client's connection is not read. Below the link's own queue bound. */
export const INBOUND_BYTES_MAX = 256 * 1024
/** A connection that is not read because of that is written to this often: how a client that went meanwhile is noticed. */
export const PAUSED_PROBE_MS = 5_000
/** Bytes of one WebSocket message; a larger one closes the connection (1009). */
export const MESSAGE_BYTES_MAX = 512 * 1024
/** Bytes of one SPDY control frame, and of its header block once inflated; above them the connection ends. */
export const CONTROL_BYTES_MAX = 16 * 1024
export const HEADER_BLOCK_BYTES_MAX = 32 * 1024
/** Names in one header block; more end the connection. */
export const HEADERS_MAX = 64
/** SPDY streams open at once in one connection: two a forwarded connection. A further one is reset. */
export const SPDY_STREAMS_MAX = 256
/** Answers to pings and resets that a client does not read; above it its connection ends. */
export const OUTBOUND_BYTES_MAX = 1024 * 1024
/** Bytes of the status a device ends a command with; the rest is dropped. */
export const STATUS_BYTES_MAX = 64 * 1024
/** A size of the terminal in bytes; a longer message is ignored. */
export const RESIZE_BYTES_MAX = 256
/** Words and characters of a command; a longer one is refused (400). Source: the link's frames. */
export const COMMAND_WORDS_MAX = 1024
export const COMMAND_CHARS_MAX = 16 * 1024
/** Ports of one native WebSocket port-forward; more are refused (400). */
export const PORTS_MAX = 16
