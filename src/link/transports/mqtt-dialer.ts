// The device's end over MQTT 5, straight to the server's own endpoint: its frames are messages to `up`, the server's come on `down`.
// QoS 0 both ways: over one hop an acknowledgement repeats what TCP and the link have said already, and costs a packet each time.

import { isUtf8 } from 'node:buffer'
import type { Clock } from '../../base/clock.ts'
import { ApiError, messageOf } from '../../base/errors.ts'
import { FRAME_BYTES_MAX, MQTT_CLOSE_MS_MAX } from '../limits.ts'
import type { Connection, Dialer } from '../link.ts'
import { REASON } from './mqtt-packets.ts'
import { topicOf } from './mqtt-topics.ts'
import { type MqttClient, MqttRefusal, openMqttClient } from './mqtt-wire.ts'
import { type Credentials, createTlsDial, dialFailure, hostOf } from './tls-dial.ts'

export interface MqttDialerOptions {
  /** `mqtts://host:port`; the port is 8883 when absent. */
  readonly url: string
  /** See clusterIdOf. */
  readonly cluster: string
  readonly device: string
  readonly credentials: () => Credentials
  readonly clock: Pick<Clock, 'after'>
  /** 0 when absent. */
  readonly qos?: 0 | 1
}

export const MQTT_PORT_DEFAULT = 8883

interface Use {
  readonly topics: { readonly up: string; readonly down: string }
  readonly qos: 0 | 1
  readonly over: () => void
}

/** Frames of the link over a client that has subscribed to `down`. */
const mqttConnection = (client: MqttClient, { topics, qos, over }: Use): Connection => {
  const connection: Connection = {
    onFrame: () => {},
    onClose: () => {},
    get queuedBytes() {
      return client.queuedBytes
    },
    send: frame => client.publish({ topic: topics.up, payload: frame, qos }),
    close: reason => client.close(reason),
  }
  client.onMessage = ({ topic, payload }) => {
    if (topic !== topics.down) return
    if (payload.length > FRAME_BYTES_MAX) client.close('protocol: a frame is too large')
    else if (!isUtf8(payload)) client.close('protocol: a frame is not text')
    else connection.onFrame(payload.toString())
  }
  client.onClose = reason => {
    over()
    connection.onClose(reason)
  }
  client.onDrain = () => connection.onDrain?.()
  return connection
}

const failureOf = (host: string, cause: Error): Error =>
  cause instanceof MqttRefusal && cause.reasonCode === REASON.notAuthorized
    ? new ApiError('Forbidden', `dial ${host}: the server has no node for this device (was it deleted?); --token joins it again`, { cause })
    : dialFailure(host, cause)

/** Dials the server's MQTT endpoint. Sessions are resumed where the server allows: half the bytes of a full handshake. */
export const mqttDialer = (options: MqttDialerOptions): Dialer => {
  const url = new URL(options.url)
  const port = Number(url.port || MQTT_PORT_DEFAULT)
  const tls = createTlsDial({ host: hostOf(url), port, credentials: options.credentials })
  const { cluster, device, qos = 0 } = options
  const topics = { up: topicOf({ cluster, device, kind: 'up' }), down: topicOf({ cluster, device, kind: 'down' }) }
  const host = `${url.hostname}:${port}`
  const connect = async (signal: AbortSignal): Promise<Connection> => {
    const socket = tls()
    await new Promise<void>((resolve, reject) => {
      const giveUp = (): void => void socket.destroy(new Error('given up'))
      const done = (): void => signal.removeEventListener('abort', giveUp)
      signal.addEventListener('abort', giveUp, { once: true })
      socket.once('secureConnect', () => {
        done()
        if (!socket.destroyed) resolve()
      })
      socket.once('error', error => {
        done()
        reject(error)
      })
      socket.once('close', () => reject(new Error('closed by the other side')))
    })
    const subscriptions = [{ topic: topics.down, qos }]
    const client = await openMqttClient(socket, { clientId: '', keepaliveSeconds: 0, sessionExpirySeconds: 0, subscriptions }, signal)
    const over = (): void => {
      if (!socket.destroyed)
        socket.once(
          'close',
          options.clock.after(MQTT_CLOSE_MS_MAX, () => socket.destroy()),
        )
    }
    return mqttConnection(client, { topics, qos, over })
  }
  return {
    async dial(signal) {
      try {
        if (signal.aborted) throw new Error('given up')
        return await connect(signal)
      } catch (error) {
        const cause = error instanceof Error ? error : new Error(messageOf(error))
        tls.forget(cause)
        throw failureOf(host, signal.aborted ? new Error('given up') : cause)
      }
    },
  }
}
