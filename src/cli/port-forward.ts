// helio port-forward: ports of this machine's loopback that lead into a pod. One connection to the server for each connection taken.

import { createServer, type Server, type Socket } from 'node:net'
import { messageOf } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { Pod } from '../kinds/pod.ts'
import type { Client } from './client.ts'
import { Failure, usage } from './failure.ts'
import { FORWARDED_MAX } from './limits.ts'
import { podOf, requireRunning } from './pod-target.ts'
import { podPath } from './remote-command.ts'
import { pathOf } from './resources.ts'
import { selectionsOf } from './target.ts'
import type { Verb, VerbContext } from './verb.ts'

export interface Forward {
  /** 0 = any free port. */
  readonly local: number
  /** A number, or a name of the pod's or Service's port. */
  readonly remote: string
}

/** `8080:80`, `:80`, `80`, `8080:http`; throws a usage failure. */
export const parseForward = (word: string): Forward => {
  const match = /^(?:(\d{0,5}):)?(\d{1,5}|[a-z0-9][-a-z0-9]{0,14})$/.exec(word)
  const remote = match?.[2] ?? ''
  const local = match?.[1] === undefined ? (/^\d+$/.test(remote) ? Number(remote) : 0) : Number(match[1] || 0)
  if (!match || local > 65_535 || (/^\d+$/.test(remote) && (Number(remote) > 65_535 || Number(remote) === 0)))
    throw usage(`invalid port ${JSON.stringify(word)}`, 'write it as LOCAL:REMOTE, REMOTE or :REMOTE, as in 8080:80')
  return { local, remote }
}

/** The number of a pod's port. */
const podPort = (pod: Pod, remote: string): number => {
  if (/^\d+$/.test(remote)) return Number(remote)
  for (const container of pod.spec.containers) {
    const port = container.ports?.find(each => each.name === remote)
    if (port) return port.containerPort
  }
  throw new Failure(`pod ${pod.metadata.name ?? ''} has no port called ${remote}`)
}

/** A Service's port leads to the port its pods listen on. */
const servicePort = (service: Record<string, unknown>, pod: Pod, remote: string): number => {
  const spec = isObject(service['spec']) ? service['spec'] : {}
  const ports = (Array.isArray(spec['ports']) ? spec['ports'] : []).filter(isObject)
  const found = ports.find(port => String(port['port']) === remote || port['name'] === remote)
  if (!found) throw new Failure(`the service has no port ${remote}`, { hint: `it has ${ports.map(port => port['port']).join(', ')}` })
  return podPort(pod, String(found['targetPort'] ?? found['port']))
}

const remotePorts = async (
  context: VerbContext,
  client: Client,
  word: string,
  pod: Pod,
  forwards: readonly Forward[],
): Promise<number[]> => {
  const [target] = word.includes('/') ? selectionsOf([word], await context.resources()) : []
  if (target?.resource.kind !== 'Service') return forwards.map(({ remote }) => podPort(pod, remote))
  const service = await client.json('GET', pathOf(target.resource, await context.namespace(), target.names[0] ?? ''))
  return forwards.map(({ remote }) => servicePort(service, pod, remote))
}

/** Carries one connection; settles when it is over. */
const carry = async (context: VerbContext, client: Client, pod: Pod, port: number, socket: Socket): Promise<void> => {
  const gone = new AbortController()
  const signal = AbortSignal.any([context.signal, gone.signal])
  const began = [false, false]
  const failure: Buffer[] = []
  // Data that comes before the connection stands waits in the socket.
  socket.pause()
  socket.on('error', () => socket.destroy())
  socket.on('close', () => gone.abort())
  const channels = await client.channels(
    { path: podPath(pod.metadata.namespace ?? '', pod.metadata.name ?? '', 'portforward'), query: [['ports', String(port)]], signal },
    {
      onData(channel, data) {
        if (channel > 1) return undefined
        // Each channel begins with the port.
        const bytes = began[channel] ? data : data.subarray(2)
        began[channel] = true
        if (bytes.length === 0) return undefined
        if (channel === 1) return void failure.push(bytes)
        return new Promise(resolve => void socket.write(bytes, () => resolve()))
      },
      onEnd: channel => void (channel === 0 && socket.end()),
    },
  )
  socket.on('data', chunk => {
    socket.pause()
    channels.send(0, chunk).then(
      () => socket.resume(),
      () => socket.destroy(),
    )
  })
  socket.on('end', () => channels.end(0))
  socket.resume()
  await channels.closed
  socket.destroySoon()
  if (failure.length > 0) throw new Failure(Buffer.concat(failure).toString())
}

const listen = (server: Server, port: number, host: string): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const hint = error.code === 'EADDRINUSE' ? 'choose another local port, or :REMOTE for any' : undefined
      reject(new Failure(`listen on ${host}:${port}: ${error.message}`, { cause: error, hint }))
    })
    server.listen(port, host, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address ? address.port : port)
    })
  })

const run = async (context: VerbContext): Promise<void> => {
  const { words, output, flags } = context
  const [word, ...ports] = words
  if (ports.length === 0) throw usage('expected POD or TYPE/NAME, and ports', 'for example: port-forward svc/web 8080:80')
  const forwards = ports.map(parseForward)
  const client = await context.client()
  const pod = await podOf(context, client, word, 'port-forward svc/web 8080:80')
  requireRunning(pod, 'forward ports to')
  const remotes = await remotePorts(context, client, word ?? '', pod, forwards)
  const host = flags.text('address') ?? '127.0.0.1'
  const sockets = new Set<Socket>()
  const servers: Server[] = []
  const close = (): void => {
    for (const server of servers) server.close()
    for (const socket of sockets) socket.destroy()
  }
  try {
    for (const [i, { local }] of forwards.entries()) {
      const remote = remotes[i] ?? 0
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, socket => {
        if (sockets.size >= FORWARDED_MAX) return void socket.destroy()
        sockets.add(socket)
        socket.on('close', () => sockets.delete(socket))
        carry(context, client, pod, remote, socket).catch((error: unknown) => {
          socket.destroy()
          if (!context.signal.aborted && !(error instanceof Error && error.name === 'AbortError')) output.note(`error: ${messageOf(error)}`)
        })
      })
      servers.push(server)
      await output.line(`Forwarding from ${host}:${await listen(server, local, host)} -> ${remote}`)
    }
    await new Promise<void>((_, reject) => {
      const stop = (): void => reject(context.signal.reason)
      context.signal.addEventListener('abort', stop, { once: true })
      if (context.signal.aborted) stop()
    })
  } finally {
    close()
  }
}

export const verb: Verb = {
  name: 'port-forward',
  summary: 'lead ports of this machine into a pod',
  usage: ['port-forward POD [LOCAL:]REMOTE ...', 'port-forward TYPE/NAME [LOCAL:]REMOTE ...'],
  connects: true,
  flags: [{ flag: 'address', type: 'text', value: 'ADDRESS', default: '127.0.0.1', describe: 'address to listen on' }],
  examples: [
    ['a web server of a deployment', 'port-forward deploy/web 8080:80'],
    ['any free port', 'port-forward svc/web :80'],
  ],
  run,
}
