// The server's line to a broker on the `mqtt` package, which is loaded only where a broker is used. The package's own reconnecting is off:
// an open line breaks once. The broker is believed by the pinned authority, as one of its brokers; with that it may carry, not speak.

import { once } from 'node:events'
import type { IClientOptions, IClientPublishOptions, MqttClient } from 'mqtt'
import { messageOf } from '../../base/errors.ts'
import type { BrokerLine, LineOptions, OpenLine, PublishOptions } from './broker-line.ts'
import { PACKET_BYTES_MAX, REASON } from './mqtt-packets.ts'
import { PacketGuard } from './packet-guard.ts'
import { type Credentials, createTlsDial, dialFailure, hostOf } from './tls-dial.ts'

export interface MqttLineOptions {
  /** `mqtts://host:port`. */
  readonly url: string
  readonly credentials: () => Credentials
}

/** Messages the broker may have under way towards the server; taking one is quick. */
const RECEIVE_MAXIMUM = 1000
const QUOTA_DEFAULT = 65_535
export const MQTTS_PORT = 8883

const clientOptions = (line: LineOptions): IClientOptions => ({
  protocolVersion: 5,
  clientId: line.clientId,
  clean: line.cleanStart,
  keepalive: line.keepaliveSeconds,
  reconnectPeriod: 0,
  resubscribe: false,
  queueQoSZero: false,
  // Else it keeps a buffer for each of 65,536 numbers: 8 MB.
  writeCache: false,
  properties: { sessionExpiryInterval: line.sessionSeconds, receiveMaximum: RECEIVE_MAXIMUM, maximumPacketSize: PACKET_BYTES_MAX },
})

const publishOptions = ({ retain }: PublishOptions): IClientPublishOptions => ({ qos: 1, retain: retain === true })

class MqttLine implements BrokerLine {
  onMessage: BrokerLine['onMessage'] = () => {}
  onClose: BrokerLine['onClose'] = () => {}
  receiveMaximum = QUOTA_DEFAULT
  sessionPresent = false
  readonly #client: MqttClient
  #over = false
  #fault = ''

  constructor(client: MqttClient) {
    this.#client = client
    client.on('message', (topic, payload, packet) => this.onMessage(topic, payload, packet.retain))
    client.on('error', error => {
      this.#fault ||= error.message
    })
    client.on('disconnect', ({ reasonCode }) => {
      this.#fault ||= `the broker ended it (0x${(reasonCode ?? 0).toString(16)})`
    })
    client.on('close', () => {
      if (this.#over) return
      this.#over = true
      client.end(true)
      this.onClose(this.#fault || 'closed by the broker')
    })
  }

  /** Settles with the broker's CONNACK. */
  accepted(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#fault ||= 'given up'
        this.#client.end(true)
      }
      this.onClose = reason => reject(new Error(reason))
      this.#client.once('connect', ({ properties, sessionPresent }) => {
        this.sessionPresent = sessionPresent
        signal.removeEventListener('abort', giveUp)
        this.receiveMaximum = properties?.receiveMaximum ?? QUOTA_DEFAULT
        resolve()
      })
      signal.addEventListener('abort', giveUp, { once: true })
      if (signal.aborted) giveUp()
    })
  }

  publish(topic: string, payload: Uint8Array, options: PublishOptions, done?: () => void): void {
    // The package does not take a message once it has been ended.
    if (this.#over) return
    this.#client.publish(topic, payload as Buffer, publishOptions(options), error => {
      // A refusal is an answer too: it would be refused again. A line that broke is none.
      const code = (error as { readonly code?: unknown } | undefined)?.code
      if (!error || (typeof code === 'number' && code >= REASON.unspecified)) done?.()
    })
  }

  async subscribe(filters: readonly string[]): Promise<void> {
    const granted = await this.#client.subscribeAsync([...filters], { qos: 1, nl: false, rap: false, rh: 0 })
    const refused = granted.find(({ qos }) => qos !== 1)
    if (refused) throw new Error(`subscribe to ${refused.topic}: the broker refused; do its rules let the server in?`)
  }

  close(): void {
    this.#over = true
    this.#client.end()
  }
}

/** Dials a broker over TLS with the server's certificate for brokers. */
export const mqttLine = ({ url, credentials }: MqttLineOptions): OpenLine => {
  const at = new URL(url)
  const dialTls = createTlsDial({ host: hostOf(at), port: Number(at.port || MQTTS_PORT), credentials, peer: 'broker' })
  return async (options, signal) => {
    const socket = dialTls()
    try {
      await once(socket, 'secureConnect', { signal })
      const { MqttClient: Client } = await import('mqtt')
      // Before the package's own: it would gather whatever length a broker declares.
      const guard = new PacketGuard(PACKET_BYTES_MAX)
      socket.on('data', (chunk: Buffer) => {
        if (!guard.take(chunk)) socket.destroy(new Error('protocol: the broker sent a packet that is too large'))
      })
      const line = new MqttLine(new Client(() => socket, clientOptions(options)))
      await line.accepted(signal)
      return line
    } catch (error) {
      dialTls.forget()
      socket.destroy()
      throw dialFailure(at.host, signal.aborted ? new Error('given up') : error instanceof Error ? error : new Error(messageOf(error)))
    }
  }
}
