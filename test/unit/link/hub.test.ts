import t from 'tap'
import { silentLog } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { systemPki } from '../../../src/host/pki.ts'
import { ACCEPT_BURST, DEVICE_ACCEPT_BURST, PROFILES, STREAM_CREDIT_BYTES, STREAMS_MAX } from '../../../src/link/limits.ts'
import type { Connection, DeviceLinkDeps, Dialer, Document, HeldHead, HubDeps, LinkStream, StreamRequest } from '../../../src/link/link.ts'
import { createHub, memoryDialer, memoryPair, openDeviceLink } from '../../../src/link/transports/index.ts'
import { manualClock } from './manual-clock.ts'
import { documentOf } from './world.ts'

const key = systemPki.createSigningKey()
const REQUEST: StreamRequest = { do: 'logs', namespace: 'default', pod: 'a', container: 'main', options: { follow: true } }

const fault = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

/** A hub and its store, in miniature. */
const setup = (part: Partial<HubDeps> = {}) => {
  const clock = manualClock()
  const truth = { revision: 1, values: { a: 'one' } as Record<string, string>, renders: 0, signatures: 0 }
  const contacts: string[] = []
  const status: [string, unknown][] = []
  const events: string[] = []
  const hub = createHub({
    clock,
    random: seededRandom('hub'),
    log: silentLog,
    epoch: 'e1',
    sign: text => {
      if (text.startsWith('helio-head')) truth.signatures++
      return systemPki.sign(key.privatePem, text)
    },
    sha256: systemPki.sha256,
    render: device => {
      truth.renders++
      return { document: documentOf(truth.values, device), revision: truth.revision }
    },
    onStatus: async (_, items) => {
      for (const { key, value } of items) status.push([key, value])
    },
    onEvents: async (_, items) => {
      for (const event of items) events.push(event.note)
    },
    onContact: (device, connected) => contacts.push(`${device} ${connected}`),
    onRefused: () => {},
    ...part,
  })
  const change = (name: string, value: string, device = 'd1'): void => {
    truth.revision++
    truth.values[name] = value
    hub.changed(device)
  }
  const connect = (device: string, extra: Partial<DeviceLinkDeps> = {}) => {
    const disk: { saved: { head: HeldHead; document: Document } | undefined } = { saved: undefined }
    const dialer: Dialer = memoryDialer(connection => hub.accept(device, connection), { clock, delayMs: () => 1 })
    const documents: Document[] = []
    const link = openDeviceLink({
      device,
      clock,
      random: seededRandom(device),
      log: silentLog,
      dialer,
      memory: {
        load: () => disk.saved,
        save: async (head, document) => {
          disk.saved = { head, document }
        },
      },
      verify: (text, signature) => systemPki.verify(key.publicPem, text, signature),
      sha256: systemPki.sha256,
      onDocument: document => documents.push(document),
      onStream: (_, stream) => stream.end('not here'),
      ...extra,
    })
    return { link, documents, disk }
  }
  return { clock, truth, contacts, status, events, hub, change, connect }
}

t.test('a batch of changes is rendered once, signed once, and only when the digest differs', async t => {
  const { clock, truth, hub, change, connect } = setup()
  const { documents } = connect('d1')
  await clock.pass(100)
  t.equal(documents.length, 1)
  const before = { ...truth }
  for (let i = 0; i < 50; i++) change('a', `v${i}`)
  await clock.pass(100)
  t.strictSame([truth.renders - before.renders, truth.signatures - before.signatures], [1, 1])
  t.equal(documents.at(-1)?.configMaps[0]?.data?.['value'], 'v49')
  for (let i = 0; i < 50; i++) change('a', 'v49')
  await clock.pass(100)
  t.strictSame([truth.renders - before.renders, truth.signatures - before.signatures], [2, 1])
  t.strictSame(hub.applied('d1'), { epoch: 'e1', generation: 51 })
})

t.test('a device that is away is not rendered for', async t => {
  const { clock, truth, hub, change } = setup()
  change('a', 'two', 'd9')
  await clock.pass(1000)
  t.equal(truth.renders, 0)
  t.equal(hub.contact('d9'), undefined)
})

t.test('idle costs a ping and a pong every keepalive, and one timer a side', async t => {
  const { clock, hub, connect } = setup()
  const frames: string[] = []
  const listening = (connection: Connection): void => {
    hub.accept('d1', connection)
    const { onFrame } = connection
    connection.onFrame = text => {
      frames.push(text)
      onFrame(text)
    }
  }
  const { link } = connect('d1', { dialer: memoryDialer(listening, { clock }) })
  await clock.pass(1000)
  t.ok(link.connected)
  frames.length = 0
  await clock.pass(5 * PROFILES.lan.keepaliveMs)
  t.equal(frames.length, 5)
  t.match(frames[0], /^\{"t":"ping","n":\d+\}$/)
  t.ok(clock.armed <= 2, `${clock.armed} timers`)
  t.ok(link.connected)
})

t.test('a newer connection replaces the older without a gap in contact; the end of the older does not end it', async t => {
  const { clock, hub, contacts, connect } = setup()
  const first: Connection[] = []
  const take = (connection: Connection): void => {
    first.push(connection)
    hub.accept('d1', connection)
  }
  const dialer = (): Dialer => memoryDialer(take, { clock })
  const one = connect('d1', { dialer: dialer() })
  await clock.pass(100)
  const two = connect('d1', { dialer: dialer(), random: seededRandom('after a restart') })
  await clock.pass(50)
  t.equal(hub.connections, 1)
  t.strictSame(contacts, ['d1 true'])
  first[0]!.onClose('late news')
  await clock.pass(10)
  t.ok(two.link.connected)
  t.notOk(one.link.connected)
  await one.link.close()
  t.equal(hub.contact('d1')?.connected, true)
  await two.link.close()
  await clock.pass(10)
  t.strictSame(contacts, ['d1 true', 'd1 false'])
})

t.test('beyond its rate the hub tells each device a time of its own to come again', async t => {
  const { clock, hub } = setup({ acceptRate: 10 })
  const times: number[] = []
  for (let i = 0; i < ACCEPT_BURST + 50; i++) {
    const [mine, theirs] = memoryPair()
    mine.onFrame = text => times.push((JSON.parse(text) as { retryAfterMs: number }).retryAfterMs)
    hub.accept(`d${i}`, theirs)
  }
  await clock.pass(0)
  t.equal(times.length, 50)
  t.equal(Math.max(...times), 5000, '50 devices at 10 a second are spread over 5 s')
  const { hub: busyHub, clock: busyClock, connect } = setup({ acceptRate: 1 })
  for (let i = 0; i < ACCEPT_BURST; i++) busyHub.accept(`x${i}`, memoryPair()[1])
  const { link } = connect('late')
  await busyClock.pass(500)
  t.match(link.lastError, /busy/)
  await busyClock.pass(30_000)
  t.ok(link.connected)
})

t.test('a device that connects over and over is told to come later, and uses up nothing of what is there for others', async t => {
  const { clock, hub, connect } = setup()
  const told: string[] = []
  for (let i = 0; i < 5 * ACCEPT_BURST; i++) {
    const [mine, theirs] = memoryPair()
    mine.onFrame = text => told.push(text)
    hub.accept('mad', theirs)
  }
  const { link } = connect('d1')
  await clock.pass(100)
  t.ok(link.connected)
  t.equal(told.filter(text => text.includes('"busy"')).length, 5 * ACCEPT_BURST - DEVICE_ACCEPT_BURST)
})

t.test('a connection that never says hello, or too many of them, is closed', async t => {
  const { clock, hub } = setup()
  const closed: string[] = []
  for (let i = 0; i < 3; i++) {
    const [mine, theirs] = memoryPair()
    mine.onClose = reason => closed.push(reason)
    hub.accept('d1', theirs)
  }
  await clock.pass(10)
  t.strictSame(closed, ['too many connections without hello'])
  await clock.pass(60_000)
  t.equal(closed.length, 3)
  t.equal(clock.armed, 0)
})

t.test('reports run one after the other for a device; a rejected one is asked for again', async t => {
  const running = { now: 0, most: 0, fail: true }
  const taken: string[] = []
  const { clock, connect } = setup({
    onStatus: async (_, items) => {
      running.most = Math.max(running.most, ++running.now)
      await Promise.resolve()
      running.now--
      if (running.fail) throw new Error('store is closed')
      taken.push(...items.map(item => item.key))
    },
  })
  const { link } = connect('d1')
  link.setStatus('node', { ready: true })
  link.setStatus('pod/a', { phase: 'Running' })
  link.addEvent({
    regarding: { kind: 'Pod', name: 'a', uid: 'u' },
    type: 'Normal',
    reason: 'Started',
    note: 'n',
    time: '2026-11-22T10:00:00Z',
  })
  await clock.pass(5000)
  t.strictSame(taken, [])
  running.fail = false
  await clock.pass(30_000)
  t.strictSame(taken, ['node', 'pod/a'])
  t.equal(running.most, 1)
})

t.test('a value or event that the server would refuse is kept back, and said so, instead of breaking the link', async t => {
  const faults: string[] = []
  const { clock, connect, status, events } = setup()
  const { link } = connect('d1', {
    log: { ...silentLog, error: (message, fields) => faults.push(`${message}: ${String(fields?.['error'])}`) },
  })
  link.setStatus('NOT A KEY', 1)
  link.setStatus('pod/big', 'x'.repeat(100_000))
  link.addEvent({
    regarding: { kind: 'Pod', name: 'Not A Name', uid: 'u' },
    type: 'Normal',
    reason: 'R',
    note: '',
    time: '2026-11-22T10:00:00Z',
  })
  link.setStatus('pod/good', 1)
  await clock.pass(10_000)
  t.equal(faults.length, 3)
  t.strictSame([status, events, link.connected], [[['pod/good', 1]], [], true])
})

t.test('streams: bytes arrive in order, no more than the credit while the reader is busy, and both ends learn of the end', async t => {
  const { clock, hub, connect } = setup()
  const opened: { request: StreamRequest; stream: LinkStream }[] = []
  connect('d1', { onStream: (request, stream) => void opened.push({ request, stream }) })
  await clock.pass(100)
  const stream = await hub.openStream('d1', REQUEST)
  const got: number[] = []
  const free: (() => void)[] = []
  stream.onData = data => {
    got.push(...data)
    return new Promise(resolve => free.push(resolve))
  }
  const ends: (string | undefined)[] = []
  stream.onEnd = error => ends.push(error)
  await clock.pass(100)
  t.strictSame(opened[0]?.request, REQUEST)
  const device = opened[0]!.stream
  const bytes = Uint8Array.from({ length: 3 * STREAM_CREDIT_BYTES }, (_, i) => i % 251)
  const state = { written: false }
  const written = device.write(bytes).then(() => {
    state.written = true
  })
  await clock.pass(100)
  t.equal(got.length, STREAM_CREDIT_BYTES)
  t.notOk(state.written, 'the writer waits')
  while (free.length > 0) {
    free.shift()?.()
    await clock.pass(10)
  }
  await written
  device.end()
  await clock.pass(100)
  t.equal(Buffer.compare(Uint8Array.from(got), bytes), 0)
  t.strictSame(ends, [undefined])
})

t.test('streams: refused when the device is away or has too many, ended when the connection breaks', async t => {
  const { clock, hub, connect } = setup()
  t.match(await fault(hub.openStream('d1', REQUEST)), { reason: 'ServiceUnavailable', hint: /connects again/ })
  const { link } = connect('d1', { onStream: () => {} })
  await clock.pass(100)
  const ends: (string | undefined)[] = []
  for (let i = 0; i < STREAMS_MAX; i++) (await hub.openStream('d1', REQUEST)).onEnd = error => ends.push(error)
  t.match(await fault(hub.openStream('d1', REQUEST)), { reason: 'TooManyRequests' })
  await link.close()
  await clock.pass(100)
  t.equal(ends.length, STREAMS_MAX)
  t.match(ends[0], /^connection lost: /)
})

t.test('a document that cannot be rendered is told, and troubles only its own device', async t => {
  const errors: string[] = []
  const { clock, connect } = setup({
    log: { ...silentLog, error: (message, fields) => errors.push(`${message} ${String(fields?.['device'])}`) },
    render: device => {
      if (device === 'bad') throw new Error('no such thing')
      return { document: documentOf({ a: 'one' }, device), revision: 1 }
    },
  })
  const bad = connect('bad')
  const good = connect('good')
  await clock.pass(1000)
  t.ok(bad.link.connected)
  t.strictSame([bad.documents.length, good.documents.length, errors[0]], [0, 1, 'render document bad'])
})

t.test('close ends all connections, timers and dials, and waits for the save under way', async t => {
  const { clock, hub, connect } = setup()
  const gate: { open: () => void } = { open: () => {} }
  const { link } = connect('d1', {
    memory: {
      load: () => undefined,
      save: () =>
        new Promise(resolve => {
          gate.open = resolve
        }),
    },
  })
  await clock.pass(100)
  const state = { closed: false }
  const closing = link.close().then(() => {
    state.closed = true
  })
  await clock.pass(100)
  t.notOk(state.closed, 'the disk has not answered')
  gate.open()
  await closing
  await hub.close()
  await clock.pass(10)
  t.strictSame([hub.connections, clock.armed], [0, 0])
  const refused: string[] = []
  const [mine, theirs] = memoryPair()
  mine.onClose = reason => refused.push(reason)
  hub.accept('d2', theirs)
  await clock.pass(0)
  t.strictSame(refused, ['the server stops'])
})

t.test(
  'a metered device: its streams are refused with a hint unless allowed, its contact says so, a planned end is no silence',
  async t => {
    const whys: unknown[] = []
    const allowed = new Set<string>()
    const { clock, hub, connect } = setup({
      onContact: (_, connected, why) => whys.push([connected, why]),
      bulkAllowed: device => allowed.has(device),
    })
    const { link } = connect('d1', { uplink: { uplink: 'wwan0', profile: 'metered' } })
    await clock.pass(100)
    t.match(hub.contact('d1'), { connected: true, profile: 'metered' })
    t.match(await fault(hub.openStream('d1', REQUEST)), { reason: 'Forbidden', hint: /allow-bulk=true/ })
    t.equal(link.bulkRefusal()?.includes('metered'), true)
    allowed.add('d1')
    await hub.openStream('d1', REQUEST)
    link.setProfile('normal')
    allowed.clear()
    await clock.pass(100)
    await hub.openStream('d1', REQUEST)
    t.equal(link.bulkRefusal(), undefined)
    await clock.pass(1000)
    link.setContactInterval(3_600_000)
    await clock.pass(60_000)
    t.strictSame(whys, [
      [true, undefined],
      [false, 'planned'],
    ])
    t.match(hub.contact('d1'), { connected: false, contactIntervalMs: 3_600_000 })
  },
)

t.test('bytes, drops and last measurements are there for metrics, and what a device says of its link', async t => {
  const taken: string[] = []
  const { clock, hub, connect } = setup({
    onTelemetry: async (_, items) => {
      taken.push(...items.map(item => `${item.name}=${item.value}`))
    },
  })
  const { link } = connect('d1')
  await clock.pass(100)
  const time = '2026-11-22T10:00:00Z'
  for (const value of [12, 12.5]) link.addTelemetry({ name: 'volts', value, time })
  link.addTelemetry({ name: 'gps', json: { lat: 1 }, time })
  link.setUplink({ uplink: 'wwan0', profile: 'normal' })
  await clock.pass(120_000)
  t.strictSame(taken, ['volts=12', 'volts=12.5', 'gps=undefined'])
  t.strictSame([hub.telemetry('d1').get('volts')?.value, hub.telemetry('d1').get('gps')?.json], [12.5, { lat: 1 }])
  t.match(hub.usage('d1'), { profile: 'normal', reported: { uplink: 'wwan0', profile: 'normal', day: 1 } })
  const own = link.usage().perPriority.telemetry
  const { telemetry } = hub.totals.frames
  t.ok(telemetry.receivedBytes > 0 && telemetry.sentBytes > 0)
  t.equal(own.waiting, 0)
  const before = hub.totals.frames.control.sentBytes
  hub.forget('d1')
  await clock.pass(10)
  t.ok(hub.totals.frames.control.sentBytes >= before, 'totals only rise')
  t.equal(hub.usage('d1'), undefined)
})

t.test('heads go to a transport that keeps them, and come back from it as a reason to call', async t => {
  const kept: string[] = []
  const { clock, hub, change, connect } = setup()
  const dialer: Dialer = memoryDialer(
    connection => {
      connection.retain = head => kept.push(head)
      hub.accept('d1', connection)
    },
    { clock, delayMs: () => 1 },
  )
  const { link, documents } = connect('d1', { dialer, contactIntervalMs: 3_600_000 })
  await clock.pass(60_000)
  t.strictSame([kept.length, link.connected], [1, false])
  dialer.onHead?.('not a head')
  dialer.onHead?.(kept[0]!)
  await clock.pass(60_000)
  t.equal(documents.length, 1)
  change('a', 'two')
  const other = connect('d1', { dialer: memoryDialer(connection => hub.accept('d1', connection), { clock }) })
  await clock.pass(1000)
  await other.link.close()
  const { head } = other.disk.saved!
  dialer.onHead?.(JSON.stringify(head))
  await clock.pass(10_000)
  t.equal(documents.at(-1)?.configMaps[0]?.data?.['value'], 'two')
})
