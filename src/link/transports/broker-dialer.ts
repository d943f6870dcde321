// The device's way to its server through a broker: one connection to the broker for each conversation, opened by a signed opening. The
// device believes the server by its signature alone; whatever a broker makes up can make a dial fail, and no more.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { Cancel, Clock } from '../../base/clock.ts'
import { ApiError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import {
  BROKER_OPENING_AGAIN_MS,
  BROKER_OPENINGS_AGAIN_MAX,
  BROKER_PROOF_MS,
  BROKER_PROVE_MS,
  BROKER_WILL_DELAY_SECONDS,
} from '../limits.ts'
import type { Connection, Dialer } from '../link.ts'
import { aliveBytes } from './broker-alive.ts'
import { type Accept, CONVERSATION_BYTES, type HintFrame, openingBytes, parseBrokerFrame, sameConversation } from './broker-frames.ts'
import { MQTTS_PORT } from './broker-mqtt.ts'
import { brokerTopic, NODE_COMMON_NAME } from './broker-topics.ts'
import { type MqttClient, type MqttMessage, openMqttClient } from './mqtt-wire.ts'
import { acceptText, digestOf, newEphemeral, sealKeys, signOpening, type Transcript } from './seal.ts'
import { SealedConnection, type SealedPort } from './sealed.ts'
import { type Credentials, createTlsDial, dialFailure, hostOf } from './tls-dial.ts'

export interface BrokerDialerOptions {
  /** `mqtts://host:port`. */
  readonly url: string
  /** See clusterIdOf. */
  readonly cluster: string
  readonly device: string
  readonly credentials: () => Credentials
  /** Ed25519 over `text` by the pinned key of the server; base64. */
  readonly verify: (text: string, signatureBase64: string) => boolean
  readonly clock: Pick<Clock, 'after'>
  readonly random: Random
  /** The broker may take this device for dead after one and a half times this without a word from it; the session's own pings count. */
  readonly keepaliveSeconds: number
}

/** Certificates as DER, and the digest of the one a server has judged: the next opening need only name it. */
interface Known {
  digest: Buffer | undefined
}

interface Attempt {
  readonly options: BrokerDialerOptions
  readonly known: Known
  readonly client: MqttClient
  readonly conversation: Uint8Array
  readonly certificate: Buffer
  readonly key: string
  readonly ephemeral: ReturnType<typeof newEphemeral>
  again: number
  connection: SealedConnection | undefined
  readonly settle: (outcome: Connection | Error) => void
}

const transcriptOf = ({ options, conversation, certificate, ephemeral }: Attempt): Transcript => ({
  cluster: options.cluster,
  device: options.device,
  conversation,
  deviceEphemeral: ephemeral.publicKey,
  certificateDigest: digestOf(certificate),
})

/** At QoS 0: while this connection lives, the broker gets it; if the server does not, it asks, or the opening comes again. */
const publish = ({ options, client }: Attempt, payload: Uint8Array): void =>
  client.publish({ topic: brokerTopic(options.cluster, options.device, 'up'), payload: Buffer.from(payload), qos: 0 })

const open = (attempt: Attempt): void => {
  const { conversation, certificate, ephemeral, known } = attempt
  const digest = digestOf(certificate)
  const isKnown = known.digest?.equals(digest) === true
  const none = new Uint8Array(0)
  const signature = signOpening(createPrivateKey(attempt.key), transcriptOf(attempt))
  const opening = openingBytes({
    conversation,
    ephemeral: ephemeral.publicKey,
    certificate: isKnown ? none : certificate,
    digest: isKnown ? digest : none,
    signature,
  })
  publish(attempt, opening)
}

/** The server may be away for a moment, or have come after the opening had passed by. What it left for this device is there meanwhile. */
const openAgain = (attempt: Attempt, delayMs: number, isOver: () => boolean): void => {
  const { options, client } = attempt
  options.clock.after(delayMs, () => {
    if (isOver() || attempt.connection) return
    if (delayMs === BROKER_OPENING_AGAIN_MS) client.subscribe(brokerTopic(options.cluster, options.device, 'head'))
    open(attempt)
    openAgain(attempt, 2 * delayMs, isOver)
  })
}

const portOf = (attempt: Attempt): SealedPort => ({
  clock: attempt.options.clock,
  publish(_, payload) {
    publish(attempt, payload)
    return true
  },
  proven: () => {},
  ended: (_, reason) => attempt.client.close(reason, { will: true }),
})

const takeAccept = (attempt: Attempt, accept: Accept): void => {
  if (attempt.connection) return
  const { options, ephemeral, conversation } = attempt
  const transcript = transcriptOf(attempt)
  // Not the server's: a broker may say what it likes, and the server's own answer may still come.
  if (!options.verify(acceptText(transcript, accept.ephemeral), Buffer.from(accept.signature).toString('base64'))) return
  const keys = sealKeys(ephemeral.privateKey, accept.ephemeral, transcript, accept.ephemeral)
  attempt.known.digest = digestOf(attempt.certificate)
  const connection = new SealedConnection(portOf(attempt), { device: options.device, conversation, keys, sends: 'up' })
  attempt.connection = connection
  // As a rule the session greets at once, which is proof enough.
  options.clock.after(BROKER_PROVE_MS, () => connection.prove())
  attempt.settle(connection)
}

const refusal = (host: string): ApiError =>
  new ApiError('Forbidden', `dial ${host}: the server has no node for this device (was it deleted?); --token joins it again`)

const takeHint = (attempt: Attempt, { hint }: HintFrame): void => {
  const { connection, options, known } = attempt
  if (connection) {
    if (hint === 'unknown') connection.fail('the server does not know this conversation')
    return
  }
  if (hint === 'certificate wanted') known.digest = undefined
  if (hint === 'refused') attempt.settle(refusal(new URL(options.url).host))
  else if (hint === 'busy' || ++attempt.again > BROKER_OPENINGS_AGAIN_MAX) attempt.settle(new Error('the server is busy'))
  else open(attempt)
}

const take = (attempt: Attempt, message: MqttMessage, onHead: Dialer['onHead']): void => {
  const { cluster, device } = attempt.options
  if (message.topic === brokerTopic(cluster, device, 'head')) {
    if (message.payload.length > 0) onHead?.(message.payload.toString())
    return
  }
  const frame = message.topic === brokerTopic(cluster, device, 'down') ? parseBrokerFrame(message.payload) : undefined
  if (!frame || !sameConversation(attempt.conversation, frame.conversation)) return
  if (frame.is === 'sealed') attempt.connection?.receive(frame)
  else if (frame.is === 'accept') takeAccept(attempt, frame)
  else if (frame.is === 'hint') takeHint(attempt, frame)
}

/** Some brokers want to hear more often than the device asked for. */
const keepUp = (options: BrokerDialerOptions, client: MqttClient, isOver: () => boolean): void => {
  const seconds = client.serverKeepaliveSeconds
  if (seconds === undefined || seconds === 0 || seconds >= options.keepaliveSeconds) return
  options.clock.after(seconds * 900, () => {
    if (isOver()) return
    client.ping()
    keepUp(options, client, isOver)
  })
}

const lineOf = async (
  options: BrokerDialerOptions,
  dialTls: ReturnType<typeof createTlsDial>,
  conversation: Uint8Array,
  signal: AbortSignal,
) => {
  const { cluster, device } = options
  const socket = dialTls()
  try {
    await once(socket, 'secureConnect', { signal })
    return await openMqttClient(
      socket,
      {
        clientId: `${NODE_COMMON_NAME}${device}`,
        keepaliveSeconds: options.keepaliveSeconds,
        sessionExpirySeconds: BROKER_WILL_DELAY_SECONDS,
        // What the server gives the broker at QoS 1 comes to the device at QoS 0: nothing is lost but with this connection.
        subscriptions: [{ topic: brokerTopic(cluster, device, 'down'), qos: 0 }],
        will: {
          topic: brokerTopic(cluster, device, 'alive'),
          payload: Buffer.from(aliveBytes({ conversation, gone: true })),
          qos: 1,
          retain: true,
          delaySeconds: BROKER_WILL_DELAY_SECONDS,
        },
      },
      signal,
    )
  } catch (error) {
    dialTls.forget()
    socket.destroy()
    throw signal.aborted ? new Error('given up') : error
  }
}

const newConversation = (random: Random): Uint8Array => {
  const bytes = Buffer.alloc(CONVERSATION_BYTES)
  for (let at = 0; at < CONVERSATION_BYTES; at += 4) bytes.writeUInt32BE(random.u32(), at)
  return bytes
}

/** Dials the server through a broker. Each dial is a connection of its own to the broker; TLS sessions are resumed where it allows. */
export const brokerDialer = (options: BrokerDialerOptions): Dialer => {
  const at = new URL(options.url)
  const dialTls = createTlsDial({
    host: hostOf(at),
    port: Number(at.port || MQTTS_PORT),
    credentials: options.credentials,
    peer: 'broker',
  })
  const known: Known = { digest: undefined }
  const random = options.random.fork('broker')
  const converse = (client: MqttClient, conversation: Uint8Array, signal: AbortSignal): Promise<Connection> =>
    new Promise((resolve, reject) => {
      const { cert, key } = options.credentials()
      const state: { cancel: Cancel | undefined; over: boolean } = { cancel: undefined, over: false }
      const giveUp = (): void => settle(new Error('given up'))
      const settle = (outcome: Connection | Error): void => {
        state.cancel?.()
        signal.removeEventListener('abort', giveUp)
        if (outcome instanceof Error) {
          state.over = true
          client.close('no conversation')
          reject(outcome)
        } else resolve(outcome)
      }
      const attempt: Attempt = {
        options,
        known,
        client,
        conversation,
        certificate: new X509Certificate(cert).raw,
        key,
        ephemeral: newEphemeral(),
        again: 0,
        connection: undefined,
        settle,
      }
      client.onMessage = message => take(attempt, message, dialer.onHead)
      client.onClose = reason => {
        state.over = true
        if (attempt.connection) attempt.connection.fail(reason)
        else settle(new Error(reason))
      }
      state.cancel = options.clock.after(BROKER_PROOF_MS, () => settle(new Error('the broker is there, the server does not answer')))
      signal.addEventListener('abort', giveUp, { once: true })
      keepUp(options, client, () => state.over)
      open(attempt)
      openAgain(attempt, BROKER_OPENING_AGAIN_MS, () => state.over)
    })
  const dialer: Dialer = {
    async dial(signal) {
      try {
        if (signal.aborted) throw new Error('given up')
        const conversation = newConversation(random)
        const client = await lineOf(options, dialTls, conversation, signal)
        return await converse(client, conversation, signal)
      } catch (error) {
        throw error instanceof ApiError ? error : dialFailure(at.host, error as Error)
      }
    },
  }
  return dialer
}
