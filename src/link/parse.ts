// Nothing from the other side is believed before it has passed here: known frame type, types, ranges, names, counts, depth. Unknown
// fields are left out, so a newer peer may add some; an unknown frame type is an error. PURE; never throws.

import { isObject, jsonDepthWithin } from '../base/json.ts'
import { type Failure, type Fields, fieldsOf, only } from './fields.ts'
import {
  BUSY_MS_MAX,
  CHUNK_BYTES_MAX,
  COMMAND_CHARS_MAX,
  COMMAND_WORDS_MAX,
  CONTACT_INTERVAL_MS_MAX,
  DOCUMENT_BYTES_MAX,
  EVENT_NOTE_CHARS_MAX,
  EVENTS,
  FETCH_WINDOW_BYTES,
  FRAME_BYTES_MAX,
  HEAD_PATCH_BYTES_MAX,
  HERD_WINDOW_MS_MAX,
  JSON_DEPTH_MAX,
  KEEPALIVE_MS_MAX,
  MESSAGE_CHARS_MAX,
  PROFILE_NAMES,
  STATUS_FRAME_ITEMS_MAX,
  STREAM_CHANNEL_MAX,
  STREAM_CHUNK_BYTES,
  STREAM_CREDIT_BYTES,
  TELEMETRY,
  TELEMETRY_ITEM_BYTES_MAX,
} from './limits.ts'
import type {
  DeviceEvent,
  DeviceFrame,
  Head,
  HeadPatch,
  LinkTerms,
  LogOptions,
  RefusalReason,
  ServerFrame,
  StatusItem,
  StreamRequest,
  TelemetryItem,
} from './messages.ts'

/** `unknown`: a well-formed frame of a type that this release does not have; a newer one may say more, and is not to be cut off for it. */
export type Parsed<T> = { readonly frame: T } | { readonly unknown: string } | { readonly error: string }

const FRAME_TYPE = /^[a-z][A-Za-z]{0,31}$/
const SHA256 = /^[0-9a-f]{64}$/
const SHA256_OR_NONE = /^([0-9a-f]{64})?$/
const DIGEST = /^[0-9a-f]{32}$/
const TAG = /^([0-9a-f]{16})?$/
/** No white space anywhere: these go into signed texts, log lines and file names. */
const WORD = /^[A-Za-z0-9][A-Za-z0-9._:-]*$/
const SIGNATURE = /^[A-Za-z0-9+/=]+$/
const STAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/
const KEY = /^[a-z][A-Za-z0-9._:/-]*$/
/** RFC 1123 subdomain: names of objects. */
const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/
const ANY = /^/

const base64Chars = (bytes: number): number => Math.ceil(bytes / 3) * 4
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

const HEAD_CHARS_MAX = 2048
const HEAD_DEPTH_MAX = 4
const GENERATION_MAX = Number.MAX_SAFE_INTEGER
const COUNT_MAX = Number.MAX_SAFE_INTEGER

const epoch = (f: Fields): string => f.text('epoch', WORD, 64)
const generation = (f: Fields): number => f.int('generation', 0, GENERATION_MAX)
const sha256 = (f: Fields): string => f.text('sha256', SHA256, 64)
const streamId = (f: Fields): number => f.int('id', 1, COUNT_MAX)

const head = (f: Fields): Head => ({
  epoch: epoch(f),
  generation: generation(f),
  ...only(
    'base',
    f.optional('base', name => f.int(name, 0, GENERATION_MAX)),
  ),
  sha256: sha256(f),
  size: f.int('size', 1, DOCUMENT_BYTES_MAX),
  ...only(
    'replaces',
    f.optional('replaces', name => f.object(name, r => ({ epoch: epoch(r), generation: generation(r) }))),
  ),
  sig: f.text('sig', SIGNATURE, 512),
})

const headPatch = (f: Fields): HeadPatch => ({
  base: f.text('base', SHA256, 64),
  data: f.text('data', BASE64, base64Chars(HEAD_PATCH_BYTES_MAX)),
})

const patch = (f: Fields): { readonly patch?: HeadPatch } =>
  only(
    'patch',
    f.optional('patch', name => f.object(name, headPatch)),
  )

const statusItem = (f: Fields): StatusItem => {
  if (f.value('value') === undefined) f.fail('value')
  return { key: f.text('key', KEY, 320), value: f.value('value') }
}

const regarding = (f: Fields): DeviceEvent['regarding'] => ({
  kind: f.text('kind', WORD, 63),
  ...only(
    'namespace',
    f.optional('namespace', name => f.text(name, NAME, 63)),
  ),
  name: f.text('name', NAME, 253),
  uid: f.text('uid', WORD, 128),
  ...only(
    'fieldPath',
    f.optional('fieldPath', name => f.text(name, ANY, 256)),
  ),
})

const event = (f: Fields): DeviceEvent => ({
  cursor: f.int('cursor', 1, COUNT_MAX),
  regarding: f.object('regarding', regarding),
  type: f.oneOf('type', ['Normal', 'Warning']),
  reason: f.text('reason', WORD, 128),
  note: f.text('note', ANY, EVENT_NOTE_CHARS_MAX),
  time: f.text('time', STAMP, 40),
})

const telemetryItem = (f: Fields): TelemetryItem => {
  const value = f.value('value')
  const json = f.value('json')
  if (value === undefined ? json === undefined : json !== undefined || !Number.isFinite(value)) f.fail('value')
  if (json !== undefined && JSON.stringify(json).length > TELEMETRY_ITEM_BYTES_MAX) f.fail('json')
  return {
    cursor: f.int('cursor', 1, COUNT_MAX),
    name: f.text('name', KEY, 128),
    ...only('value', value as number | undefined),
    ...only('json', json),
    time: f.text('time', STAMP, 40),
  }
}

const terms = (f: Fields): LinkTerms => ({
  profile: f.oneOf('profile', PROFILE_NAMES),
  bulk: f.flag('bulk'),
  ...only(
    'contactMs',
    f.optional('contactMs', name => f.int(name, 1, CONTACT_INTERVAL_MS_MAX)),
  ),
})

/** Name of an outbox's numbering. */
const log = (f: Fields): string => f.text('log', WORD, 64)

const logOptions = (f: Fields): LogOptions => {
  const count = (name: string): number => f.int(name, 0, COUNT_MAX)
  return {
    ...only('follow', f.optional('follow', f.flag)),
    ...only('previous', f.optional('previous', f.flag)),
    ...only('timestamps', f.optional('timestamps', f.flag)),
    ...only('tailLines', f.optional('tailLines', count)),
    ...only('sinceSeconds', f.optional('sinceSeconds', count)),
    ...only(
      'sinceTime',
      f.optional('sinceTime', name => f.text(name, STAMP, 40)),
    ),
    ...only('limitBytes', f.optional('limitBytes', count)),
  }
}

const command = (f: Fields): readonly string[] => {
  const words = f.value('command')
  const isText = (word: unknown): word is string => typeof word === 'string' && !word.includes('\0')
  const good = Array.isArray(words) && words.length > 0 && words.length <= COMMAND_WORDS_MAX && words.every(isText)
  if (good && words.reduce((chars, word) => chars + word.length, 0) <= COMMAND_CHARS_MAX) return words
  f.fail('command')
  return []
}

const streamRequest = (f: Fields): StreamRequest => {
  const target = {
    namespace: f.text('namespace', NAME, 63),
    pod: f.text('pod', NAME, 253),
    ...only(
      'uid',
      f.optional('uid', name => f.text(name, WORD, 128)),
    ),
  }
  const container = (): string => f.text('container', NAME, 63)
  const what = f.oneOf('do', ['logs', 'exec', 'attach', 'portForward'])
  if (what === 'exec')
    return { do: what, ...target, container: container(), command: command(f), tty: f.flag('tty'), stdin: f.flag('stdin') }
  if (what === 'attach') return { do: what, ...target, container: container(), stdin: f.flag('stdin') }
  if (what === 'portForward') return { do: what, ...target, port: f.int('port', 1, 65_535) }
  return { do: what, ...target, container: container(), options: f.object('options', logOptions) }
}

const REFUSALS: readonly RefusalReason[] = ['signature', 'older', 'conflict', 'invalid']

type Readers<F extends { readonly t: string }> = { readonly [T in F['t']]: (f: Fields) => Extract<F, { readonly t: T }> }

const STREAM_READERS = {
  data: (f: Fields) => ({
    t: 'data' as const,
    id: streamId(f),
    channel: f.int('channel', 0, STREAM_CHANNEL_MAX),
    data: f.text('data', BASE64, base64Chars(STREAM_CHUNK_BYTES)),
  }),
  credit: (f: Fields) => ({ t: 'credit' as const, id: streamId(f), bytes: f.int('bytes', 1, STREAM_CREDIT_BYTES) }),
  end: (f: Fields) => ({
    t: 'end' as const,
    id: streamId(f),
    ...only(
      'error',
      f.optional('error', name => f.text(name, ANY, MESSAGE_CHARS_MAX)),
    ),
  }),
}

const DEVICE_READERS: Readers<DeviceFrame> = {
  hello: f => ({
    t: 'hello',
    v: f.int('v', 1, 1) as 1,
    run: f.text('run', WORD, 64),
    seq: f.int('seq', 1, COUNT_MAX),
    head: f.isNull('head') ? null : f.object('head', h => ({ epoch: epoch(h), generation: generation(h), sha256: sha256(h) })),
    statusDigest: f.text('statusDigest', DIGEST, 32),
    ...only(
      'statusBase',
      f.optional('statusBase', name => f.text(name, DIGEST, 32)),
    ),
    terms: f.object('terms', terms),
  }),
  terms: f => ({ t: 'terms', terms: f.object('terms', terms) }),
  bye: () => ({ t: 'bye' }),
  fetch: f => ({
    t: 'fetch',
    sha256: sha256(f),
    base: f.text('base', SHA256_OR_NONE, 64),
    tag: f.text('tag', TAG, 16),
    offset: f.int('offset', 0, DOCUMENT_BYTES_MAX),
    bytes: f.int('bytes', 1, FETCH_WINDOW_BYTES),
  }),
  applied: f => ({ t: 'applied', epoch: epoch(f), generation: generation(f) }),
  refused: f => ({
    t: 'refused',
    epoch: epoch(f),
    generation: generation(f),
    why: f.oneOf('why', REFUSALS),
    message: f.text('message', ANY, MESSAGE_CHARS_MAX),
  }),
  status: f => ({
    t: 'status',
    seq: f.int('seq', 1, COUNT_MAX),
    whole: f.flag('whole'),
    digest: f.text('digest', DIGEST, 32),
    items: f.list('items', STATUS_FRAME_ITEMS_MAX, statusItem),
  }),
  events: f => ({ t: 'events', log: log(f), items: f.list('items', EVENTS.frameItemsMax, event), dropped: f.int('dropped', 0, COUNT_MAX) }),
  telemetry: f => ({
    t: 'telemetry',
    log: log(f),
    items: f.list('items', TELEMETRY.frameItemsMax, telemetryItem),
    dropped: f.int('dropped', 0, COUNT_MAX),
  }),
  ping: f => ({ t: 'ping', n: f.int('n', 0, COUNT_MAX) }),
  ...STREAM_READERS,
}

const SERVER_READERS: Readers<ServerFrame> = {
  welcome: f => ({
    t: 'welcome',
    v: f.int('v', 1, 1) as 1,
    time: f.text('time', STAMP, 40),
    timeSig: f.text('timeSig', SIGNATURE, 512),
    head: f.isNull('head') ? null : f.object('head', head),
    ...patch(f),
    needStatus: f.oneOf('needStatus', ['none', 'changes', 'all', 'later']),
    herdWindowMs: f.int('herdWindowMs', 0, HERD_WINDOW_MS_MAX),
    keepaliveMs: f.int('keepaliveMs', 1, KEEPALIVE_MS_MAX),
  }),
  busy: f => ({ t: 'busy', retryAfterMs: f.int('retryAfterMs', 0, BUSY_MS_MAX) }),
  head: f => ({ t: 'head', head: f.object('head', head), ...patch(f) }),
  document: f => ({
    t: 'document',
    sha256: sha256(f),
    base: f.text('base', SHA256_OR_NONE, 64),
    tag: f.text('tag', TAG, 16),
    offset: f.int('offset', 0, DOCUMENT_BYTES_MAX),
    size: f.int('size', 1, DOCUMENT_BYTES_MAX),
    data: f.text('data', BASE64, base64Chars(CHUNK_BYTES_MAX)),
  }),
  missing: f => ({ t: 'missing', sha256: sha256(f) }),
  needStatus: () => ({ t: 'needStatus' }),
  statusAck: f => ({ t: 'statusAck', seq: f.int('seq', 1, COUNT_MAX) }),
  eventsAck: f => ({ t: 'eventsAck', cursor: f.int('cursor', 0, COUNT_MAX) }),
  telemetryAck: f => ({ t: 'telemetryAck', cursor: f.int('cursor', 0, COUNT_MAX) }),
  pong: f => ({ t: 'pong', n: f.int('n', 0, COUNT_MAX) }),
  open: f => ({
    t: 'open',
    id: streamId(f),
    request: f.object('request', streamRequest),
    credit: f.int('credit', 1, STREAM_CREDIT_BYTES),
    ...only('allowed', f.optional('allowed', f.flag)),
  }),
  ...STREAM_READERS,
}

/** JSON text to a value, or undefined: JSON.parse's throw is an answer here. */
const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

const parseFrame = <F extends { readonly t: string }>(text: string, readers: Readers<F>): Parsed<F> => {
  if (text.length > FRAME_BYTES_MAX) return { error: `read frame: it has more than ${FRAME_BYTES_MAX} bytes` }
  if (!jsonDepthWithin(text, JSON_DEPTH_MAX)) return { error: `read frame: it is nested deeper than ${JSON_DEPTH_MAX}` }
  const value = parseJson(text)
  if (!isObject(value)) return { error: 'read frame: it is not a JSON object' }
  const type = value['t']
  if (typeof type !== 'string' || !FRAME_TYPE.test(type)) return { error: 'read frame: its type is not a word' }
  if (!Object.hasOwn(readers, type)) return { unknown: type }
  const failure: Failure = { at: undefined }
  const frame = readers[type as F['t']](fieldsOf(value, '', failure))
  return failure.at === undefined ? { frame } : { error: `read frame: ${type}.${failure.at} is missing or not acceptable` }
}

export const parseDeviceFrame = (text: string): Parsed<DeviceFrame> => parseFrame<DeviceFrame>(text, DEVICE_READERS)
export const parseServerFrame = (text: string): Parsed<ServerFrame> => parseFrame<ServerFrame>(text, SERVER_READERS)

/** A head found outside a session (retained by a broker): its shape checked, its signature not yet. */
export const parseHead = (text: string): Head | undefined => {
  if (text.length > HEAD_CHARS_MAX || !jsonDepthWithin(text, HEAD_DEPTH_MAX)) return undefined
  const failure: Failure = { at: undefined }
  const found = head(fieldsOf(parseJson(text), '', failure))
  return failure.at === undefined ? found : undefined
}
