// One real server with thousands of devices on one way: resident memory a device, CPU while they idle, and how long all take to come back
// and be in sync after the server was started again. The devices are real links over real TLS sockets in processes of their own
// (link-fleet-devices.ts); they share a key, each has a certificate and a Node of its own.

import { type ChildProcess, fork, spawn } from 'node:child_process'
import { appendFileSync, readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { systemPki } from '../../src/host/pki.ts'
import { Client } from '../e2e/client.ts'
import { type Actor, freePort, type Running, runAs, startAs } from '../e2e/cluster.ts'
import { type Bench, eventually, KB, pause } from './link-figures.ts'
import type { DevicesOrder, DevicesState } from './link-fleet-devices.ts'
import { end, openProgram } from './link-program.ts'
import type { Transport } from './link-wire.ts'
import { inFlight, processFigures } from './measure.ts'

const KEY_ANNOTATION = 'heliopause.io/public-key-sha256'
const SIZES = [1000, 5000] as const
const SIZES_FULL = [1000, 5000, 15_000] as const
const RETURNING = 2000
const RETURNING_FULL = 10_000
/** Their keys cost the devices' side more than the server: small processes share the cores evenly. */
const DEVICES_A_PROCESS = 2500
/** The server admits 100 a second. */
const DIALS_PER_SECOND = 95
const SETTLE_MS = 12_000
const CPU_WINDOW_MS = 20_000
/** After it a session counts as long, and comes back over the herd window. */
const LONG_MS = 62_000
const PATIENCE_MS = 900_000
/** Between two lines that say how far it is. */
const PROGRESS_MS = 10_000
const BYTES_A_DEVICE_MAX_KB: Readonly<Record<Transport, number>> = { ws: 80, mqtt: 80, broker: 8 }

interface Fleet {
  readonly server: () => Running
  /** Settles with the seconds from the signal to the ready line. */
  restart(): Promise<number>
  /** `between`: the Nodes are made, nobody has dialled. */
  add(count: number, between?: () => void): Promise<void>
  state(): { readonly connected: number; readonly synced: number; readonly dials: number }
}

const post = (url: string, ca: string, body: unknown): Promise<Record<string, string>> =>
  new Promise((resolve, reject) => {
    const call = request(url, { method: 'POST', ca, headers: { 'content-type': 'application/json' } }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () =>
        response.statusCode === 200 ? resolve(JSON.parse(text) as Record<string, string>) : reject(new Error(text)),
      )
    })
    call.on('error', reject)
    call.end(JSON.stringify(body))
  })

const startMosquitto = async (bench: Bench, program: Actor, dataDir: string, port: number): Promise<void> => {
  const folder = join(dataDir, '../broker')
  const made = await runAs(program, [
    ...['broker', 'config', '--out', folder, '--port', String(port), '--bind', '127.0.0.1', '--data-dir', dataDir],
  ])
  if (made.code !== 0) throw new Error(`helio broker config: ${made.stderr}`)
  appendFileSync(join(folder, 'mosquitto.conf'), 'user root\n')
  const child = spawn('/usr/sbin/mosquitto', ['-c', join(folder, 'mosquitto.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, OPENSSL_CONF: join(folder, 'openssl.cnf') },
  })
  bench.cleanup(() => end(child))
  const state = { said: '' }
  child.stderr.on('data', chunk => {
    state.said = (state.said + chunk).slice(-4000)
  })
  await eventually('mosquitto', 30_000, () => {
    if (child.exitCode !== null) throw new Error(`mosquitto ended: ${state.said}`)
    return / running\b/.test(state.said)
  })
}

const makeNodes = async (dataDir: string, pin: string, from: number, count: number): Promise<void> => {
  const client = await Client.open(join(dataDir, 'kubeconfig'))
  await inFlight(count, 64, async i => {
    await client.ok('POST', '/api/v1/nodes', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: `fleet-${from + i}`, annotations: { [KEY_ANNOTATION]: pin } },
    })
  })
  client.close()
}

const NONE: DevicesState = { connected: 0, synced: 0, dials: 0 }

/** A process of devices; they dial as they are made. */
const startDevices = (bench: Bench, order: DevicesOrder, tell: (state: DevicesState) => void): void => {
  const child: ChildProcess = fork(join(import.meta.dirname, 'link-fleet-devices.ts'), {
    env: { ...process.env, MALLOC_ARENA_MAX: '1' },
    execArgv: ['--no-warnings'],
  })
  bench.cleanup(() => end(child))
  child.on('message', message => tell(message as DevicesState))
  child.send(order)
}

export const openFleet = async (bench: Bench, transport: Transport): Promise<Fleet> => {
  const { program, dir } = openProgram(bench)
  const dataDir = join(dir, 'server')
  const port = await freePort()
  const wayPort = await freePort()
  const flags = ['--no-agent', '--log-level', 'error', '--cluster-cidr', '10.217.0.0/16']
  const serve = (): Promise<Running> => startAs(program, 'server', '--data-dir', dataDir, '--port', String(port), ...flags)
  if (transport === 'mqtt') flags.push('--mqtt-port', String(wayPort))
  if (transport === 'broker') {
    await (await serve()).kill()
    await startMosquitto(bench, program, dataDir, wayPort)
    flags.push('--mqtt-broker', `mqtts://127.0.0.1:${wayPort}`)
  }
  const state = { server: await serve(), made: 0, processes: [] as DevicesState[] }
  bench.cleanup(() => state.server.kill())
  const { requestPem, keyPem } = systemPki.createRequest('fleet')
  const ca = readFileSync(join(dataDir, 'pki/ca.crt'), 'utf8')
  const token = readFileSync(join(dataDir, 'join-token'), 'utf8').trim()
  const joined = await post(`${state.server.url}/heliopause.io/v1/join`, ca, { token, nodeName: 'fleet-first', csr: requestPem })
  const pin = systemPki.publicKeyPin(joined['certificate']!)
  const url = transport === 'ws' ? state.server.url : `mqtts://127.0.0.1:${wayPort}`
  return {
    server: () => state.server,
    async restart() {
      const startMs = performance.now()
      await state.server.stop()
      state.server = await serve()
      return (performance.now() - startMs) / 1000
    },
    async add(count, between) {
      await makeNodes(dataDir, pin, state.made, count)
      between?.()
      const processes = Math.ceil(count / DEVICES_A_PROCESS)
      for (let i = 0; i < processes; i++) {
        const at = state.processes.push(NONE) - 1
        const size = Math.ceil(count / processes)
        const order: DevicesOrder = {
          ...{ dataDir, url, transport, requestPem, keyPem, headKey: joined['headKey']! },
          from: state.made + i * size,
          count: Math.min(size, count - i * size),
          perSecond: DIALS_PER_SECOND / processes,
        }
        startDevices(bench, order, said => {
          state.processes[at] = said
        })
      }
      state.made += count
    },
    state: () => {
      const sum = (key: keyof DevicesState): number => state.processes.reduce((total, each) => total + each[key], 0)
      return { connected: sum('connected'), synced: sum('synced'), dials: sum('dials') }
    },
  }
}

/** Pages of memory the kernel holds for sockets of TCP, on this machine. */
const socketMemory = (): number => Number(/^TCP:.* mem (\d+)$/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))?.[1] ?? 0) * 4096

const residentKb = (pid: number): number => processFigures(pid).rssMiB * 1024

/** Waits for a state of the fleet and tells how far it is; when it does not come, where it stopped. */
const reached = async (bench: Bench, fleet: Fleet, what: string, isThere: (state: DevicesState) => boolean): Promise<void> => {
  const startMs = performance.now()
  const told = { atMs: startMs }
  await eventually(what, Number.POSITIVE_INFINITY, () => {
    const state = fleet.state()
    const nowMs = performance.now()
    if (isThere(state)) return true
    const words = `${what}: ${state.connected} connected, ${state.synced} in sync, ${state.dials} dials after ${((nowMs - startMs) / 1000).toFixed(0)} s`
    if (nowMs - startMs > PATIENCE_MS) throw new Error(`waited in vain: ${words}`)
    if (nowMs - told.atMs > PROGRESS_MS) {
      told.atMs = nowMs
      bench.note(words)
    }
    return false
  })
}

export const benchFleet = async (bench: Bench, transport: Transport): Promise<void> => {
  const fleet = await openFleet(bench, transport)
  await pause(SETTLE_MS / 2)
  const { pid } = fleet.server()
  const emptyKb = residentKb(pid)
  const part = `fleet-${transport}`
  bench.say({ part, what: 'server with no device', value: emptyKb / KB, unit: 'MB' })
  let had = 0
  for (const size of bench.full ? SIZES_FULL : SIZES) {
    bench.note(`${part}: ${size} devices`)
    const startMs = performance.now()
    const nodes = { kb: -residentKb(pid), allKb: 0 }
    await fleet.add(size - had, () => {
      nodes.allKb = residentKb(pid)
      nodes.kb += nodes.allKb
    })
    const nodeKb = nodes.kb / (size - had)
    const added = size - had
    had = size
    await reached(bench, fleet, `${part}: ${size} in sync`, ({ synced }) => synced >= size)
    const seconds = (performance.now() - startMs) / 1000
    await pause(SETTLE_MS)
    const first = processFigures(pid)
    await pause(CPU_WINDOW_MS)
    const last = processFigures(pid)
    const cpu = ((last.cpuSeconds - first.cpuSeconds) / (CPU_WINDOW_MS / 1000)) * 100
    const kb = last.rssMiB * 1024
    bench.say({
      part,
      what: `${size} devices: server memory a device`,
      value: (kb - emptyKb) / size,
      unit: 'KB',
      wanted: BYTES_A_DEVICE_MAX_KB[transport],
      from: `RSS ${(kb / KB).toFixed(0)} MB; it grew by ${nodeKb.toFixed(1)} KB a Node before anybody dialled, and by ${((kb - nodes.allKb) / added).toFixed(1)} KB for each of the ${added} that then did; sockets in the kernel, both ends ${(socketMemory() / 2 ** 20).toFixed(0)} MB; there after ${seconds.toFixed(0)} s`,
    })
    bench.say({
      part,
      what: `${size} devices idle (lan, a ping every 20 s)`,
      value: cpu,
      unit: '% CPU',
      from: `${size / 20} pings a second`,
    })
  }
}

export const benchReconnect = async (bench: Bench, transport: Transport): Promise<void> => {
  const fleet = await openFleet(bench, transport)
  const count = bench.full ? RETURNING_FULL : RETURNING
  const part = `reconnect-${transport}`
  bench.note(`${part}: ${count} devices`)
  await fleet.add(count)
  await reached(bench, fleet, `${part}: all in sync`, ({ synced }) => synced >= count)
  await pause(LONG_MS)
  const before = fleet.state()
  const startMs = performance.now()
  const down = await fleet.restart()
  const readyMs = performance.now()
  const sinceReady = (): number => (performance.now() - readyMs) / 1000
  await reached(bench, fleet, `${part}: the devices noticed`, ({ dials }) => dials > before.dials)
  await reached(bench, fleet, `${part}: all connected again`, ({ connected }) => connected >= count)
  const connected = sinceReady()
  await reached(bench, fleet, `${part}: all in sync again`, ({ connected, synced }) => connected >= count && synced >= count)
  const synced = sinceReady()
  const figures = processFigures(fleet.server().pid)
  const dials = fleet.state().dials - before.dials
  bench.say({
    part,
    what: `${count} devices: all connected`,
    value: connected,
    unit: 's',
    from: `after the server was ready again; it was away ${down.toFixed(1)} s; ${dials} dials; ${(count / connected).toFixed(0)} a second`,
  })
  bench.say({
    part,
    what: `${count} devices: all in sync`,
    value: synced,
    unit: 's',
    from: `${figures.cpuSeconds.toFixed(1)} s of CPU in the new server; ${((performance.now() - startMs) / 1000).toFixed(0)} s since its end`,
  })
}
