import t from 'tap'
import { parseDocument } from '../../../src/link/document.ts'
import { FRAME_BYTES_MAX, HEAD_PATCH_BYTES_MAX } from '../../../src/link/limits.ts'
import type { DeviceFrame, ServerFrame } from '../../../src/link/messages.ts'
import { parseDeviceFrame, parseServerFrame } from '../../../src/link/parse.ts'
import { fc } from '../../property.ts'
import { codec, documentOf } from './world.ts'

const sha = 'a'.repeat(64)
const digest = '0'.repeat(32)
const DEVICE_FRAMES: readonly DeviceFrame[] = [
  { t: 'hello', v: 1, run: 'r', seq: 1, head: null, statusDigest: digest, terms: { profile: 'lan', bulk: true } },
  {
    t: 'hello',
    v: 1,
    run: 'r',
    seq: 2,
    head: { epoch: 'e', generation: 3, sha256: sha },
    statusDigest: digest,
    statusBase: digest,
    terms: { profile: 'metered', bulk: false, contactMs: 3_600_000 },
  },
  { t: 'terms', terms: { profile: 'normal', bulk: true } },
  { t: 'bye' },
  { t: 'fetch', sha256: sha, base: '', tag: '', offset: 0, bytes: 1000 },
  { t: 'applied', epoch: 'e', generation: 1 },
  { t: 'refused', epoch: 'e', generation: 1, why: 'older', message: 'm' },
  {
    t: 'status',
    seq: 1,
    whole: true,
    digest,
    items: [
      { key: 'pod/x', value: { a: [1, null] } },
      { key: 'node', value: null },
    ],
  },
  {
    t: 'telemetry',
    log: 'r',
    dropped: 0,
    items: [
      { cursor: 1, name: 'battery/volts', value: 12.5, time: '2026-11-22T10:00:00Z' },
      { cursor: 2, name: 'gps', json: { lat: 1, lon: [2] }, time: '2026-11-22T10:00:00Z' },
    ],
  },
  {
    t: 'events',
    log: 'r',
    dropped: 2,
    items: [
      {
        cursor: 1,
        regarding: { kind: 'Pod', namespace: 'default', name: 'a', uid: 'u', fieldPath: 'spec.containers{main}' },
        type: 'Warning',
        reason: 'BackOff',
        note: 'back-off\nrestarting',
        time: '2026-11-22T10:00:00.123456Z',
      },
    ],
  },
  { t: 'ping', n: 1 },
  { t: 'data', id: 1, channel: 1, data: 'aGVsbG8=' },
  { t: 'credit', id: 1, bytes: 10 },
  { t: 'end', id: 1, error: 'gone' },
]
const head = { epoch: 'e', generation: 2, sha256: sha, size: 10, sig: 'abc=' }
const SERVER_FRAMES: readonly ServerFrame[] = [
  { t: 'welcome', v: 1, time: '2026-11-22T10:00:00Z', timeSig: 'abc=', head, needStatus: 'later', herdWindowMs: 0, keepaliveMs: 20_000 },
  { t: 'head', head: { ...head, replaces: { epoch: 'f', generation: 9 } } },
  { t: 'head', head, patch: { base: sha, data: 'aGVsbG8=' } },
  { t: 'document', sha256: sha, base: '', tag: '0123456789abcdef', offset: 0, size: 10, data: 'aGVsbG8=' },
  { t: 'missing', sha256: sha },
  { t: 'busy', retryAfterMs: 1000 },
  { t: 'needStatus' },
  { t: 'statusAck', seq: 1 },
  { t: 'eventsAck', cursor: 0 },
  { t: 'pong', n: 1 },
  {
    t: 'open',
    id: 1,
    credit: 100,
    request: {
      do: 'logs',
      namespace: 'default',
      pod: 'a',
      uid: 'u',
      container: 'main',
      options: { follow: true, tailLines: 5, sinceTime: '2026-11-22T10:00:00Z' },
    },
  },
  { t: 'end', id: 1 },
]

t.test('every frame is read back as it was written, and unknown fields are left out', async t => {
  for (const frame of DEVICE_FRAMES) {
    t.strictSame(parseDeviceFrame(JSON.stringify(frame)), { frame })
    t.strictSame(parseDeviceFrame(JSON.stringify({ ...frame, later: { version: 2 } })), { frame })
  }
  for (const frame of SERVER_FRAMES) t.strictSame(parseServerFrame(JSON.stringify(frame)), { frame })
})

/** Every path to a field of a value, the value's own array items included. */
const paths = (value: unknown): string[][] =>
  typeof value !== 'object' || value === null
    ? []
    : Object.entries(value).flatMap(([key, inner]) => [[key], ...paths(inner).map(path => [key, ...path])])

const replace = (value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown => {
  if (key === undefined) return by
  if (Array.isArray(value)) return value.map((item, i) => (String(i) === key ? replace(item, rest, by) : item))
  const copy: Record<string, unknown> = { ...(value as Record<string, unknown>) }
  copy[key] = replace(copy[key], rest, by)
  return copy
}

t.test('no field is believed with a value of another type, a negative, huge or broken number, or a text that is too long', async t => {
  const wrong = [-1, 1.5, 1e300, 'x '.repeat(3000 * 10), { deep: {} }, [[[]]], true, null]
  for (const frame of [...DEVICE_FRAMES, ...SERVER_FRAMES])
    for (const path of paths(frame)) {
      // Status values and telemetry are bounded JSON of any shape; options may be left out; head: null and hello without one are both fine.
      if (path.join('.').match(/^(items\.\d+\.(value|json)|head$)/)) continue
      for (const value of wrong) {
        const was = path.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], frame)
        if (typeof was === typeof value && typeof value !== 'number' && typeof value !== 'string') continue
        const text = JSON.stringify(replace(frame, path, value))
        const parsed = DEVICE_FRAMES.includes(frame as DeviceFrame) ? parseDeviceFrame(text) : parseServerFrame(text)
        if (!('error' in parsed)) t.fail(`${frame.t}.${path.join('.')} = ${JSON.stringify(value).slice(0, 40)}`)
      }
    }
  t.pass('all refused')
})

t.test('a patch that comes with a head is read up to its bound', async t => {
  const frame = (bytes: number): string =>
    JSON.stringify({ t: 'head', head, patch: { base: sha, data: Buffer.alloc(bytes).toString('base64') } })
  t.match(parseServerFrame(frame(HEAD_PATCH_BYTES_MAX)), { frame: { t: 'head' } })
  t.match(parseServerFrame(frame(HEAD_PATCH_BYTES_MAX + 3)), { error: /head\.patch\.data/ })
})

t.test('anything at all is refused in one line or read, without a throw', async t => {
  const any = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.anything().map(value => JSON.stringify(value) ?? ''),
  )
  const mutated = fc
    .tuple(fc.constantFrom(...DEVICE_FRAMES, ...SERVER_FRAMES), fc.nat(), fc.jsonValue())
    .map(([frame, n, value]) => JSON.stringify(replace(frame, paths(frame)[n % paths(frame).length] ?? [], value)))
  fc.assert(
    fc.property(fc.oneof(any, mutated), text => {
      for (const parsed of [parseDeviceFrame(text), parseServerFrame(text)])
        if ('error' in parsed && !/^read frame: [^\n]+$/.test(parsed.error)) return false
      return true
    }),
    { numRuns: 3000 },
  )
  t.match(parseDeviceFrame('x'.repeat(FRAME_BYTES_MAX + 1)), { error: /more than/ })
  t.match(parseDeviceFrame(`{"t":"ping","n":${'['.repeat(65)}${']'.repeat(65)}}`), { error: /nested deeper/ })
  t.match(parseServerFrame('{"t":"hello"}'), { unknown: 'hello' })
  t.match(parseServerFrame('{"t":"constructor"}'), { unknown: 'constructor' })
  t.match(parseServerFrame('{"t":"__proto__"}'), { error: /type is not a word/ })
  t.match(parseServerFrame('{"t":7}'), { error: /type is not a word/ })
})

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'default', uid: 'u-1' },
  spec: { containers: [{ name: 'main', image: 'i' }] },
}
const check = (value: unknown) => parseDocument(codec, codec.encode(JSON.stringify(value)), 'tower-7')

t.test('a document is read when it is for this device, and refused when a name in it could not be a path', async t => {
  const good = { ...documentOf({ a: 'one' }), pods: [pod] }
  t.match(check(good), { document: good })
  const evil: readonly [readonly string[], unknown][] = [
    [['device'], 'tower-8'],
    [['kind'], 'Pod'],
    [['podCIDR'], '10.0.0.0/8; rm'],
    [['pods'], {}],
    [['pods', '0'], null],
    [['pods', '0', 'metadata', 'uid'], '../../etc'],
    [['pods', '0', 'metadata', 'uid'], undefined],
    [['pods', '0', 'metadata', 'uid'], '..'],
    [['pods', '0', 'metadata', 'name'], 'a/b'],
    [['pods', '0', 'metadata', 'namespace'], ''],
    [['pods', '0', 'spec', 'containers', '0', 'name'], '../x'],
    [['pods', '0', 'spec', 'containers'], 'x'],
    [['configMaps', '0', 'metadata', 'name'], '.'],
    [['secrets'], [{ metadata: { name: '..', namespace: 'default' } }]],
  ]
  for (const [path, value] of evil) t.match(check(replace(good, path, value)), { error: /^read document: / }, path.join('.'))
  t.match(parseDocument(codec, Uint8Array.of(0xff, 0xfe), 'tower-7'), { error: /UTF-8/ })
  t.match(parseDocument(codec, codec.encode(`${'['.repeat(100)}${']'.repeat(100)}`), 'tower-7'), { error: /nested/ })
  t.match(parseDocument(codec, codec.encode('{'), 'tower-7'), { error: /not JSON/ })
  fc.assert(
    fc.property(fc.constantFrom(...paths(good)), fc.jsonValue(), (path, value) => {
      const result = check(replace(good, path, value))
      return 'document' in result || /^read document: [^\n]+$/.test(result.error)
    }),
    { numRuns: 500 },
  )
})
