// A plain HTTP/2 client of the API for tests and benchmarks: reads a kubeconfig, keeps one session, answers status and JSON.

import { readFileSync } from 'node:fs'
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { parse } from 'yaml'

export interface Answer {
  readonly status: number
  readonly text: string
  readonly json: Record<string, unknown>
}

interface KubeconfigFile {
  clusters: { cluster: { server: string; 'certificate-authority-data': string } }[]
  users: { user: { 'client-certificate-data': string; 'client-key-data': string } }[]
}

export interface Watch {
  close(): void
}

export class Client {
  readonly #session: ClientHttp2Session
  readonly url: string

  private constructor(url: string, session: ClientHttp2Session) {
    this.url = url
    this.#session = session
  }

  /** Opens a session with the kubeconfig's client certificate. */
  static async open(kubeconfig: string): Promise<Client> {
    const file = parse(readFileSync(kubeconfig, 'utf8')) as KubeconfigFile
    const decode = (text: string): Buffer => Buffer.from(text, 'base64')
    const { server } = file.clusters[0]!.cluster
    const user = file.users[0]!.user
    const session = connect(server, {
      ca: decode(file.clusters[0]!.cluster['certificate-authority-data']),
      cert: decode(user['client-certificate-data']),
      key: decode(user['client-key-data']),
    })
    await new Promise<void>((resolve, reject) => {
      session.once('connect', () => resolve())
      session.once('error', reject)
    })
    session.on('error', () => session.destroy())
    return new Client(server, session)
  }

  get closed(): boolean {
    return this.#session.closed || this.#session.destroyed
  }

  #stream(method: string, path: string, headers: Record<string, string>, body?: string): ClientHttp2Stream {
    const stream = this.#session.request(
      {
        ':method': method,
        ':path': path,
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      { endStream: body === undefined },
    )
    if (body !== undefined) stream.end(body)
    return stream
  }

  /** Rejects when the connection breaks before the answer is whole. */
  request(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(new Error('the session is closed'))
      const stream = this.#stream(
        method,
        path,
        headers,
        body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
      )
      const chunks: Buffer[] = []
      let status = 0
      let ended = false
      stream.on('response', head => {
        status = Number(head[':status'])
      })
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        ended = true
      })
      stream.on('error', reject)
      stream.on('close', () => {
        if (!ended || status === 0) return reject(new Error(`${method} ${path}: the connection broke`))
        const text = Buffer.concat(chunks).toString()
        resolve({
          status,
          text,
          get json() {
            return JSON.parse(text) as Record<string, unknown>
          },
        })
      })
    })
  }

  /** Answers with the object, or throws the Status message. */
  async ok(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Record<string, unknown>> {
    const answer = await this.request(method, path, body, headers)
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text.slice(0, 300)}`)
    return answer.json
  }

  /** Calls `onEvent` for each watch event; `onEnd` once. */
  watch(path: string, onEvent: (event: { type: string; object: Record<string, unknown> }) => void, onEnd: () => void = () => {}): Watch {
    const stream = this.#stream('GET', path, {})
    let rest = ''
    stream.setEncoding('utf8')
    stream.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line !== '') onEvent(JSON.parse(line) as { type: string; object: Record<string, unknown> })
    })
    stream.on('error', () => stream.destroy())
    stream.on('close', onEnd)
    return { close: () => stream.close() }
  }

  close(): void {
    this.#session.destroy()
  }
}

/** Runs `check` on the state of a watched list until it says true; fails after `timeoutMs`. Waits on values, not on time. */
export const until = async (
  client: Client,
  path: string,
  check: (items: Map<string, Record<string, unknown>>) => boolean,
  timeoutMs: number,
  what: string,
): Promise<Map<string, Record<string, unknown>>> => {
  const items = new Map<string, Record<string, unknown>>()
  const nameOf = (object: Record<string, unknown>): string => (object['metadata'] as { name: string }).name
  const list = await client.ok('GET', path)
  for (const item of list['items'] as Record<string, unknown>[]) items.set(nameOf(item), item)
  if (check(items)) return items
  return new Promise((resolve, reject) => {
    const finish = (error?: Error): void => {
      clearTimeout(timer)
      watch.close()
      if (error) reject(error)
      else resolve(items)
    }
    const timer = setTimeout(
      () =>
        finish(
          new Error(
            `${what}: not within ${timeoutMs} ms; last: ${JSON.stringify([...items.values()].map(i => ({ name: nameOf(i), status: i['status'] }))).slice(0, 2000)}`,
          ),
        ),
      timeoutMs,
    )
    const joiner = path.includes('?') ? '&' : '?'
    const watch = client.watch(
      `${path}${joiner}watch=true&resourceVersion=${(list['metadata'] as { resourceVersion: string }).resourceVersion}`,
      event => {
        if (event.type === 'DELETED') items.delete(nameOf(event.object))
        else if (event.type !== 'BOOKMARK') items.set(nameOf(event.object), event.object)
        if (check(items)) finish()
      },
    )
  })
}
