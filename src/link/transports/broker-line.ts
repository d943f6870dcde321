// One open connection to a broker as this room needs it, whichever MQTT client stands behind. QoS 1 to the broker, never 2; what devices
// send comes as they sent it, at QoS 0. MQTT 5.

/** How a message is to be treated by the broker. */
export interface PublishOptions {
  readonly retain?: boolean
}

export interface BrokerLine {
  /** How many messages the broker takes before it has confirmed one. */
  readonly receiveMaximum: number
  /** The broker still has what it kept for this client; else it is as good as new. */
  readonly sessionPresent: boolean
  /** `done` when the broker has confirmed it; never when the line breaks first. */
  publish(topic: string, payload: Uint8Array, options: PublishOptions, done?: () => void): void
  /** Settles when the broker granted all; rejects with a one-line message when it did not. */
  subscribe(filters: readonly string[]): Promise<void>
  /** `retained`: the broker kept it from before the subscription. */
  onMessage: (topic: string, payload: Uint8Array, retained: boolean) => void
  /** Called once; not after one's own `close`. */
  onClose: (reason: string) => void
  /** In good order: the broker sends no will. */
  close(): void
}

export interface LineOptions {
  readonly clientId: string
  /** False: what came while this client was away is delivered. */
  readonly cleanStart: boolean
  readonly sessionSeconds: number
  readonly keepaliveSeconds: number
  readonly will?: { readonly topic: string; readonly payload: Uint8Array; readonly delaySeconds: number }
}

/** Settles when the broker has accepted this client; rejects with a one-line message. */
export type OpenLine = (options: LineOptions, signal: AbortSignal) => Promise<BrokerLine>
