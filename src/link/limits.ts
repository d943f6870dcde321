// Every bound of the link, with what happens at it. Bytes are bytes on the wire unless said otherwise. DESIGN invariant 5.

import type { BackoffPolicy } from '../base/backoff.ts'

/** A frame from the other side above this closes the connection ('protocol'); none we send comes near. */
export const FRAME_BYTES_MAX = 128 * 1024
/** Deeper JSON in a frame or document closes the connection or refuses the document, before it is parsed. */
export const JSON_DEPTH_MAX = 64
/** Bytes queued for the transport; above it the connection closes itself ('slow'). Holds all windows below together. */
export const QUEUE_BYTES_MAX = 2 * 1024 * 1024

/** A larger document is not signed; the hub reports it as refused and the device keeps what it has. */
export const DOCUMENT_BYTES_MAX = 8 * 1024 * 1024
/** Objects of one kind in a document; more makes it invalid. */
export const DOCUMENT_ITEMS_MAX = 4096
/** Epochs a device remembers having left; the oldest is forgotten. */
export const LEFT_EPOCHS_MAX = 16
/** Raw bytes of one piece of a document: 22 KB as a frame, so that control frames never wait long behind it. */
export const CHUNK_BYTES_MAX = 16 * 1024
/** What a device asks for ahead of what it has received; bounds the queue and keeps a slow pipe full. */
export const FETCH_WINDOW_BYTES = 128 * 1024
/** A download without progress for this long asks again; the transport is reliable, so this only mends lost logic. */
export const FETCH_STALL_MS = 60_000
/** Part of the old document that serves as dictionary for the new one: deflate looks back no further. */
export const PATCH_WINDOW_BYTES = 32 * 1024
/** Raw bytes of a patch that goes along with its head; of a larger one the head goes alone and the device fetches. More in a frame closes the
 * connection ('protocol'). */
export const HEAD_PATCH_BYTES_MAX = 1024
/** Documents the server keeps for downloads and patches; above it the longest unused is dropped and rendered again when asked for. */
export const SHELF_BYTES_MAX = 32 * 1024 * 1024

/** Longest value of one status key; a longer one is not taken and the last stays. */
export const STATUS_ITEM_BYTES_MAX = 64 * 1024
/** A status frame is closed before it grows beyond these (one value may be larger); the rest follows after the acknowledgement. */
export const STATUS_FRAME_BYTES = 16 * 1024
export const STATUS_FRAME_ITEMS_MAX = 256
/** Keys a device reports; a further key is not taken. */
export const STATUS_KEYS_MAX = 2048
/** A rejected report is asked for again after this, or after so many times the status delay of the device's profile. */
export const REPORT_RETRY_MS = 10_000
export const REPORT_RETRY_DELAYS = 30
/** Reports of one device waiting for the callback; beyond it (a device that reconnects while its reports hang) one is rejected unread. */
export const REPORTS_WAITING_MAX = 4

/** Bounds of one outbox: over one of them, or older (monotonic, while the agent runs), the oldest items are dropped and counted. */
export interface OutboxBounds {
  readonly itemsMax: number
  readonly bytesMax: number
  readonly ttlMs: number
  /** A frame is closed before it grows beyond these. */
  readonly frameItemsMax: number
  readonly frameBytes: number
}
export const EVENT_NOTE_CHARS_MAX = 1024
export const EVENTS: OutboxBounds = {
  itemsMax: 1000,
  bytesMax: 512 * 1024,
  ttlMs: 24 * 3_600_000,
  frameItemsMax: 64,
  frameBytes: 8 * 1024,
}
/** Longest JSON of one telemetry item; a longer one is not taken. */
export const TELEMETRY_ITEM_BYTES_MAX = 1024
export const TELEMETRY: OutboxBounds = {
  itemsMax: 4000,
  bytesMax: 512 * 1024,
  ttlMs: 6 * 3_600_000,
  frameItemsMax: 128,
  frameBytes: 8 * 1024,
}
/** Items not on disk are written after so long without being taken by the server (longer while it is there), or at once over the bytes. */
export const OUTBOX_WRITE_MS = 30_000
export const OUTBOX_WRITE_CONNECTED_MS = 180_000
export const OUTBOX_WRITE_BYTES = 32 * 1024
/** Items on disk that the server took are removed from there within this; until then a power cut only sends them again. */
export const OUTBOX_FORGET_MS = 15 * 60_000
/** A failed write (a full disk) is repeated after this. */
export const OUTBOX_RETRY_MS = 5 * 60_000

/** Streams open at once on one connection; a further one is refused (429). */
export const STREAMS_MAX = 16
/** Bytes a stream may send ahead of what was consumed, each way. */
export const STREAM_CREDIT_BYTES = 64 * 1024
export const STREAM_CHUNK_BYTES = 16 * 1024
/** Written and waiting for credit; above it the stream ends with an error: its writer does not wait. */
export const STREAM_QUEUE_BYTES_MAX = 1024 * 1024
export const STREAM_CHANNEL_MAX = 7
/** Words and characters of a command to run in a container; a longer one is refused by the API, and would not pass here. */
export const COMMAND_WORDS_MAX = 1024
export const COMMAND_CHARS_MAX = 16 * 1024
export const MESSAGE_CHARS_MAX = 1024

/** Full jitter between dials; the cap is the profile's. */
export const RECONNECT_BASE_MS = 1000
/**
 * A server that has no node for this device says so until an operator acts: at least half of this between dials, doubling up to so many times
 * the profile's cap (six hours where bytes cost money). `sync` dials at once and begins anew.
 */
export const REFUSED_BASE_MS = 60_000
export const REFUSED_CAP_FACTOR = 6
/** No dial follows another sooner, whatever the draw. */
export const RECONNECT_MIN_MS = 100
/** A session that lived this long resets the backoff, and its first retry is spread over the herd window. */
export const SESSION_LONG_MS = 60_000
/** The longest window a server may announce; a longer one counts as this. */
export const HERD_WINDOW_MS_MAX = 15 * 60_000
export const HERD_WINDOW_MS_MIN = 1000
/** A server that is busy may ask for this much patience at most; also bounds the admissions promised ahead. */
export const BUSY_MS_MAX = 15 * 60_000
/** Dialling, and waiting for hello or welcome, end after this. */
export const DIAL_TIMEOUT_MS = 30_000
export const GREETING_TIMEOUT_MS = 20_000
/** Failed saves (a full disk) are repeated with this backoff. */
export const SAVE_RETRY: BackoffPolicy = { baseMs: 1000, capMs: 5 * 60_000 }

/** An unanswered ping means a half-open connection. */
export const PONG_TIMEOUT_MS = 15_000
/** Of devices cut off in one moment the last is noticed a keepalive interval after the first, and a little more. */
export const TOGETHER_SLACK_MS = 5000
/** Keepalive intervals outside are pulled to the nearer end. */
export const KEEPALIVE_MS_MIN = 10_000
export const KEEPALIVE_MS_MAX = 30 * 60_000
/** Answered pings before the interval doubles; an interval that failed makes it four times as many, up to the second bound. */
export const KEEPALIVE_GOOD_MIN = 3
export const KEEPALIVE_GOOD_MAX = 192

/** Connections of one device that have not said hello yet; the oldest is closed. */
export const WAITING_HELLO_MAX = 2
/** Admissions a second and at once; beyond it a connection is told when to come again. */
export const ACCEPT_RATE_PER_SECOND = 100
export const ACCEPT_BURST = 200
/** Connections of one device admitted at once, and the time after which it may have one more; beyond it the device is told to come again
 * later, and uses nothing of what is there for the others. */
export const DEVICE_ACCEPT_BURST = 30
export const DEVICE_ACCEPT_EVERY_MS = 1000
/** Changes are gathered this long before a document is rendered. */
export const RENDER_DELAY_MS = 10
/** Documents rendered before other work gets its turn. */
export const RENDER_BATCH_MAX = 32
/** A head that is neither applied nor refused holds back the next one for so long: a slow device gets the latest, not each one. */
export const HEAD_PATIENCE_MS = 10_000
/** Refusals told to the operator per connection; a device that refuses on and on is not a log's worth. */
export const REFUSALS_TOLD_MAX = 16
/** A device that refused a head as older is offered one rendered anew after this. */
export const REFUSED_RETRY_MS = 60_000

/** Frames and bytes one conversation through a broker sends ahead of what the other side has confirmed; the rest waits here, not there. */
export const BROKER_WINDOW_MESSAGES = 64
export const BROKER_WINDOW_BYTES = 256 * 1024
/** Confirmed at the latest after so many frames or bytes; an idle conversation confirms nothing. */
export const BROKER_CONFIRM_MESSAGES = 16
export const BROKER_CONFIRM_BYTES = 16 * 1024
/** Unconfirmed bytes that do not count as queued: beyond it lower priorities wait. Above BROKER_CONFIRM_BYTES, or they would wait for ever. */
export const BROKER_AHEAD_BYTES = 32 * 1024
/** Messages that may come before an earlier one; one further ahead is dropped. */
export const BROKER_EARLY_MAX = 128
/** A message that does not come within this of a later one is lost, and the conversation with it. */
export const BROKER_GAP_MS = 10_000
/** A larger certificate or signature is no device's; the opening is dropped unread. */
export const BROKER_CERTIFICATE_BYTES_MAX = 4096
export const BROKER_SIGNATURE_BYTES_MAX = 512
/** A device that was accepted proves itself by a first sealed message within this; also how long an answer is waited for. */
export const BROKER_PROOF_MS = 20_000
/** Openings judged a second, at once, and of one device; beyond it the device is told that the server is busy. */
export const BROKER_OPENINGS_PER_SECOND = 200
export const BROKER_OPENINGS_BURST = 400
export const BROKER_DEVICE_OPENINGS_PER_SECOND = 0.5
export const BROKER_DEVICE_OPENINGS_BURST = 10
/** Hints told a second and at once, to all devices together; beyond it they are left out. */
export const BROKER_HINTS_PER_SECOND = 100
export const BROKER_HINTS_BURST = 200
/** Messages given to the broker and not confirmed by it; fewer when it says so. */
export const BROKER_INFLIGHT_MAX = 1000
/** What waits for the broker, of all devices together; above it the conversation that sends ends ('slow'). */
export const BROKER_OUTBOX_BYTES_MAX = 64 * 1024 * 1024
/** How long the broker keeps what comes for a server that lost its connection, and how long a device's will waits. Seconds. */
export const BROKER_SESSION_SECONDS = 300
export const BROKER_WILL_DELAY_SECONDS = 10
/** An opening without an answer is sent again after this, then after twice as long each time, within BROKER_PROOF_MS. */
export const BROKER_OPENING_AGAIN_MS = 2000
/** A device whose session says nothing by itself proves itself after this. */
export const BROKER_PROVE_MS = 100
/** The server asks the broker for life when it has said nothing for so long. Seconds. */
export const BROKER_KEEPALIVE_SECONDS = 60
/** A server that stops waits so long for the broker to have its last words. */
export const BROKER_CLOSE_MS = 1000
/** Openings sent again in one dial because the server asked; then the dial fails and the backoff has its turn. */
export const BROKER_OPENINGS_AGAIN_MAX = 3
/** The server's way back to a broker it lost; it is one client, so it may be quick. */
export const BROKER_RETRY: BackoffPolicy = { baseMs: 500, capMs: 30_000 }

/** Credit, and data of streams that are over, which a device may send at once and a second: what was under way when a stream ended fits. */
export const STREAM_FRAMES_BURST = 10_000
export const STREAM_FRAMES_PER_SECOND = 1000
/** Frames a device may send at once and a second, streams not counted (their credit bounds them); beyond it the connection is closed ('busy'). */
export const FRAMES_BURST = 1000
export const FRAMES_PER_SECOND = 50
/** Told to a device that was closed for flooding. */
export const FLOOD_PAUSE_MS = 60_000
/** Reports (status, events, telemetry) a device is given at once and a second; the next one waits, and the device with it: one is in flight. */
export const REPORTS_BURST = 60
export const REPORTS_PER_SECOND = 2
/** Lives of a device whose cursors the server remembers; what an older one left on the device's disk could be taken twice. */
export const INTAKE_LOGS_MAX = 8
/** Items that come again while the callback has them wait, and are looked at this often. */
export const SETTLE_LOOK_MS = 1000
/** Devices asked for their whole status a second and at once (a new server knows no digest); the others are told to wait for their turn. */
export const WHOLE_STATUS_PER_SECOND = 100
export const WHOLE_STATUS_BURST = 200
/** Last telemetry values kept of a device, and the characters of one kept as text; a further name is not kept. */
export const TELEMETRY_NAMES_MAX = 64

/** Bytes left to the transport ahead of what it has taken; above it frames wait in the order of their priority. */
export const SEND_AHEAD_BYTES = 4 * 1024
/** A transport that does not tell when its queue is empty is looked at this often, while frames wait. */
export const SEND_LOOK_MS = 10

/** A device that calls only so often. Outside the bounds: the nearer one. */
export const CONTACT_INTERVAL_MS_MIN = 60_000
export const CONTACT_INTERVAL_MS_MAX = 7 * 24 * 3_600_000
/** A call ends when nothing was said or is to be said for this long, and at the latest after the second. */
export const CONTACT_QUIET_MS = 10_000
export const CONTACT_LONG_MS = 15 * 60_000

/** A device's own word on its link above this is not kept. */
export const USAGE_CHARS_MAX = 2048
/** Uplinks whose bytes of the day are kept; of one more the longest unused is forgotten. */
export const UPLINKS_MAX = 8
export const UPLINK_CHARS_MAX = 64
/** The budget's day, counted while the agent runs. */
export const DAY_MS = 24 * 3_600_000
/** Counters go to disk after so many bytes (but no sooner than this after the last time), or so much time with a byte spent; a power cut
 * forgets no more than that. */
export const USAGE_WRITE_BYTES = 64 * 1024
export const USAGE_WRITE_MS_MIN = 5 * 60_000
export const USAGE_WRITE_MS = 4 * 3_600_000
/** The device reports its usage (status key `link`) this often, and when its uplink changes. */
export const USAGE_REPORT_MS = 6 * 3_600_000

/**
 * What a frame costs besides its own bytes (reference: TCP/IPv4 with timestamps 52 bytes a packet of 1,448; TLS 1.3 22 a record; WebSocket
 * or MQTT framing about 8; an acknowledgement of TCP for every other packet).
 */
export const PACKET_BYTES = 52
export const PACKET_PAYLOAD_BYTES = 1448
export const FRAMING_BYTES = 22 + 8
export const ACK_BYTES = PACKET_BYTES / 2
/** Opening a connection: TCP, a full TLS handshake (4,104 bytes; a resumed one costs half, which the device does not count on), the upgrade.
 * One that fails: three SYNs. */
export const OPEN_SENT_BYTES = 2200
export const OPEN_RECEIVED_BYTES = 2600
export const FAILED_SENT_BYTES = 180

/** In this order they are sent and, at the bound of a budget, kept back. */
export const PRIORITIES = ['control', 'status', 'events', 'telemetry', 'bulk'] as const
export type Priority = (typeof PRIORITIES)[number]
export type ByPriority<T> = { readonly [P in Priority]: T }

export const PROFILE_NAMES = ['lan', 'normal', 'metered'] as const
/** MQTT. Bytes that are no frame's in a packet: its topic and properties; a packet larger than a frame and these ends the connection (0x95). */
export const MQTT_OVERHEAD_BYTES_MAX = 560
/** A CONNECT with a will and names of the greatest length; more before it ends the connection (0x95). */
export const MQTT_CONNECT_BYTES_MAX = 1024
/** From the end of TLS to a whole CONNECT, and for the other side to close once it was told; then the socket is cut. */
export const MQTT_CONNECT_MS_MAX = 10_000
export const MQTT_CLOSE_MS_MAX = 5000
/** Messages of QoS 1 under way towards us (each is acknowledged as it is read), and from us, whatever the other side would take: others wait. */
export const MQTT_RECEIVE_MAXIMUM = 16
export const MQTT_INFLIGHT_MAX = 32
/** Topics that a number may stand for; the others are written out. */
export const MQTT_ALIASES_MAX = 4
/** Answers not yet taken by the socket; a client that asks for more without reading is cut. */
export const MQTT_ANSWERS_MAX = 1024
/** Filters in one SUBSCRIBE or UNSUBSCRIBE; more end the connection (0x97, 0x82). Two are granted. */
export const MQTT_FILTERS_MAX = 8
/** A longer client identifier is refused, a longer reason is cut. */
/** Signs of life a client publishes in one connection, which mean nothing here; one more closes it (quota). */
export const MQTT_ALIVE_MAX = 64
export const MQTT_CLIENT_ID_CHARS_MAX = 128
export const MQTT_REASON_CHARS_MAX = 200
/** Connections of one device: its link, the link before, and clients that watch; of strangers that have not been told to go. The oldest gives way. */
export const MQTT_CONNECTIONS_OF_DEVICE_MAX = 4
export const MQTT_STRANGERS_MAX = 64
/** TCP connections of the endpoint, those that shake hands included; a further one is dropped. A longer handshake is cut. */
export const MQTT_CONNECTIONS_MAX = 20_000
export const MQTT_HANDSHAKE_MS_MAX = 10_000
/** When the server stops: then what is still open is cut. */
export const MQTT_STOP_MS_MAX = 1500

export type ProfileName = (typeof PROFILE_NAMES)[number]

/** What a link may cost. Idle is a ping and a pong, about 240 bytes with TCP and TLS, every keepalive. */
export interface Profile {
  /** First interval and the one it may grow to. */
  readonly keepaliveStartMs: number
  readonly keepaliveMs: number
  readonly reconnectCapMs: number
  /** Reports are gathered this long before they are sent. */
  readonly statusDelayMs: number
  readonly eventsDelayMs: number
  readonly telemetryDelayMs: number
  /** Changes of the document are gathered this long before its head is offered. */
  readonly headDelayMs: number
  /** Raw bytes of one frame of a stream: on a thin pipe a status behind it waits the shorter. */
  readonly streamChunkBytes: number
  /**
   * Bytes a day, both directions, with what they cost on the wire; null: no bound. At the bound a class waits for the next day, and its
   * outbox drops by age and size. Control (heads and documents too) is measured and never waits.
   */
  readonly budgetBytes: ByPriority<number | null>
  /** Bulk may go without being allowed by the uplink or the request. */
  readonly allowBulk: boolean
}

const KB = 1024
const MB = 1024 * 1024
const HOUR_MS = 3_600_000

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  lan: {
    keepaliveStartMs: 20_000,
    keepaliveMs: 20_000,
    reconnectCapMs: HOUR_MS / 4,
    statusDelayMs: 50,
    eventsDelayMs: 1000,
    telemetryDelayMs: 5000,
    headDelayMs: 0,
    streamChunkBytes: 16 * KB,
    budgetBytes: { control: null, status: null, events: null, telemetry: null, bulk: null },
    allowBulk: true,
  },
  // Idle: 288 pings a day, 70 KB; 2.2 MB a month.
  normal: {
    keepaliveStartMs: 120_000,
    keepaliveMs: 300_000,
    reconnectCapMs: HOUR_MS / 4,
    statusDelayMs: 1000,
    eventsDelayMs: 10_000,
    telemetryDelayMs: 60_000,
    headDelayMs: 500,
    streamChunkBytes: 4 * KB,
    budgetBytes: { control: null, status: 2 * MB, events: MB / 2, telemetry: MB / 2, bulk: 100 * MB },
    allowBulk: true,
  },
  // Idle: 72 pings a day, 18 KB; 0.55 MB a month. The bounds leave room for some twenty updates a day with all their reports.
  metered: {
    keepaliveStartMs: 300_000,
    keepaliveMs: 1_200_000,
    reconnectCapMs: HOUR_MS,
    statusDelayMs: 10_000,
    eventsDelayMs: 60_000,
    telemetryDelayMs: 15 * 60_000,
    headDelayMs: 5000,
    streamChunkBytes: 4 * KB,
    budgetBytes: { control: null, status: 128 * KB, events: 32 * KB, telemetry: 16 * KB, bulk: 10 * MB },
    allowBulk: false,
  },
}
