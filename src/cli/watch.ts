// Watch streams as events, opened again where they end. Source: k8s API concepts, "Efficient detection of changes".

import type { IncomingMessage } from 'node:http'
import type { Clock } from '../base/clock.ts'
import type { Status } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import type { Client, Query } from './client.ts'
import { Refused } from './failure.ts'
import { WATCH_AGAIN_MS } from './limits.ts'

export interface WatchEvent {
  readonly type: string
  readonly object: Record<string, unknown>
}

/** JSON values of a stream, one a line. */
export async function* lines(response: AsyncIterable<Buffer | string>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let left = ''
  for await (const chunk of response) {
    left += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })
    let end = left.indexOf('\n')
    let start = 0
    for (; end !== -1; end = left.indexOf('\n', start)) {
      if (end > start) yield left.slice(start, end)
      start = end + 1
    }
    left = left.slice(start)
  }
  if (left.trim() !== '') yield left
}

/** Events of one watch request, until the server ends it; an ERROR event is thrown as the refusal it carries. */
export async function* watchOnce(
  client: Client,
  path: string,
  query: Query,
  accept: string,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  const response: IncomingMessage = await client.stream('GET', path, { query: { ...query, watch: true }, accept, signal })
  try {
    for await (const line of lines(response)) {
      const event: unknown = JSON.parse(line)
      if (!isObject(event) || !isObject(event['object'])) continue
      const object = event['object']
      if (event['type'] === 'ERROR') throw new Refused(object as unknown as Status, Number(object['code'] ?? 500))
      yield { type: String(event['type']), object }
    }
  } finally {
    response.destroy()
  }
}

export const resourceVersionOf = (object: Record<string, unknown>): string | undefined => {
  const metadata = isObject(object['metadata']) ? object['metadata'] : {}
  return typeof metadata['resourceVersion'] === 'string' && metadata['resourceVersion'] !== '' ? metadata['resourceVersion'] : undefined
}

interface FollowOptions {
  readonly client: Client
  readonly clock: Pick<Clock, 'sleep'>
  /** Of the collection. */
  readonly path: string
  readonly name: string
  readonly signal: AbortSignal
}

/** Each state of one object, the present one first; undefined when it is gone. Goes on over broken watches until the caller stops. */
export async function* follow(options: FollowOptions): AsyncGenerator<KubeObject | undefined> {
  const { client, path, name, signal } = options
  const fieldSelector = `metadata.name=${name}`
  for (;;) {
    const list = await client.json('GET', path, { query: { fieldSelector }, signal })
    const items = Array.isArray(list['items']) ? (list['items'] as KubeObject[]) : []
    yield items[0]
    try {
      for await (const event of watchOnce(
        client,
        path,
        { fieldSelector, resourceVersion: resourceVersionOf(list) },
        'application/json',
        signal,
      )) {
        if (event.type === 'BOOKMARK') continue
        yield event.type === 'DELETED' ? undefined : (event.object as unknown as KubeObject)
      }
    } catch (error) {
      // A watch may be cut or expire at any time; the list above says again what is.
      if (signal.aborted || (error instanceof Refused && error.code !== 410 && error.code < 500)) throw error
    }
    await options.clock.sleep(WATCH_AGAIN_MS, signal)
    signal.throwIfAborted()
  }
}
