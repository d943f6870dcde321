// Devices and their server on separate networks of this machine: a network namespace for the server, one for each device, a cable between,
// and nftables counters of each device's IP bytes in both directions. Broker and server are the real programs. Linux, root.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Actor, type CommandResult, type Running, runAs, startAs } from '../e2e/cluster.ts'
import { type Bench, eventually, pause } from './link-figures.ts'
import { end, openProgram } from './link-program.ts'

export const TRANSPORTS = ['ws', 'mqtt', 'broker'] as const
export type Transport = (typeof TRANSPORTS)[number]

export interface Bytes {
  readonly up: number
  readonly down: number
  readonly packets: number
}

export interface WireDevice {
  readonly name: string
  readonly transport: Transport
  readonly dataDir: string
  readonly pid: number
  /** IP bytes since `reset`. */
  bytes(): Bytes
  reset(): void
  /** Settles when for `quietMs` nothing has passed. */
  quiet(quietMs: number): Promise<Bytes>
  helio(...args: string[]): Promise<CommandResult>
  /**
   * Resets the TCP connection that is there, under both ends; what still comes of it is not counted. `forget`: the first dial after it is
   * reset too, which makes the device forget its TLS session; only the second is counted.
   */
  cut(forget: boolean): Promise<void>
  restart(): Promise<void>
}

export interface Wire {
  readonly dataDir: string
  device(name: string, transport: Transport): Promise<WireDevice>
  /** The command line beside the server. */
  helio(args: readonly string[], input?: string): Promise<CommandResult>
}

const PORTS: Readonly<Record<Transport, number>> = { ws: 6443, mqtt: 8883, broker: 8884 }
const MOSQUITTO = '/usr/sbin/mosquitto'
const QUIET_PATIENCE_MS = 60_000
const READY_PATIENCE_MS = 60_000

const tool = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8' })

/** A namespace where nothing is sent that nobody asked for. */
const openSpace = (bench: Bench, name: string): void => {
  tool('ip', 'netns', 'add', name)
  bench.cleanup(() => tool('ip', 'netns', 'delete', name))
  tool('ip', 'netns', 'exec', name, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1')
  tool('ip', '-n', name, 'link', 'set', 'lo', 'up')
}

const connectSpaces = (server: string, device: string, i: number): void => {
  tool('ip', '-n', server, 'link', 'add', `d${i}`, 'type', 'veth', 'peer', 'name', 'up0', 'netns', device)
  for (const [space, link, address] of [
    [server, `d${i}`, `10.219.${100 + i}.1/24`],
    [device, 'up0', `10.219.${100 + i}.2/24`],
  ] as const) {
    // Packets as a wire has them: else many are counted as one.
    tool('ip', '-n', space, 'link', 'set', link, 'gso_max_segs', '1')
    tool('ip', '-n', space, 'addr', 'add', address, 'dev', link)
    tool('ip', '-n', space, 'link', 'set', link, 'up')
  }
}

const TABLE = 'helio_bench'
const openCounters = (space: string): void => {
  const rules = `table inet ${TABLE} {
    counter up {}
    counter down {}
    counter hello {}
    chain cut_out { type filter hook output priority -10; }
    chain cut_hello { type filter hook output priority -5; }
    chain cut_in { type filter hook input priority -10; }
    chain out { type filter hook output priority 0; oifname "up0" counter name up; }
    chain in { type filter hook input priority 0; iifname "up0" counter name down; }
  }`
  execFileSync('ip', ['netns', 'exec', space, 'nft', '-f', '-'], { input: rules })
}

interface CounterJson {
  readonly nftables: readonly { readonly counter?: { readonly name: string; readonly bytes: number; readonly packets: number } }[]
}

const readCounters = (space: string): Bytes & { readonly hello: number } => {
  const { nftables } = JSON.parse(tool('ip', 'netns', 'exec', space, 'nft', '-j', 'list', 'counters')) as CounterJson
  const counters = nftables.flatMap(({ counter }) => (counter ? [counter] : []))
  const of = (name: string) => counters.find(counter => counter.name === name) ?? { bytes: 0, packets: 0 }
  const [up, down] = [of('up'), of('down')]
  return { up: up.bytes, down: down.bytes, packets: up.packets + down.packets, hello: of('hello').packets }
}

const inSpace = (program: Actor, space: string): Actor => ({
  command: 'ip',
  args: ['netns', 'exec', space, program.command, ...program.args],
})

const startBroker = async (bench: Bench, server: { program: Actor; space: string; dataDir: string }, folder: string): Promise<void> => {
  const { program, space, dataDir } = server
  const made = await runAs(program, ['broker', 'config', '--out', folder, '--port', String(PORTS.broker), '--data-dir', dataDir])
  if (made.code !== 0) throw new Error(`helio broker config: ${made.stderr}`)
  appendFileSync(join(folder, 'mosquitto.conf'), 'user root\n')
  const child: ChildProcess = spawn('ip', ['netns', 'exec', space, MOSQUITTO, '-c', join(folder, 'mosquitto.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, OPENSSL_CONF: join(folder, 'openssl.cnf') },
  })
  bench.cleanup(() => end(child))
  const state = { said: '' }
  child.stderr?.on('data', chunk => {
    state.said += chunk
  })
  await eventually('mosquitto', READY_PATIENCE_MS, () => {
    if (child.exitCode !== null) throw new Error(`mosquitto ended: ${state.said}`)
    return / running\b/.test(state.said)
  })
}

interface DeviceOptions {
  readonly bench: Bench
  readonly program: Actor
  readonly name: string
  readonly transport: Transport
  readonly space: string
  readonly dataDir: string
  readonly flags: readonly string[]
}

const deviceOf = async ({ bench, program, name, transport, space, dataDir, flags }: DeviceOptions): Promise<WireDevice> => {
  const start = (): Promise<Running> => startAs(inSpace(program, space), 'agent', '--data-dir', dataDir, '--runtime', 'process', ...flags)
  const state = { agent: await start() }
  bench.cleanup(() => state.agent.kill())
  const nft = (...words: string[]): void => void tool('ip', 'netns', 'exec', space, 'nft', ...words)
  const helio = (...args: string[]): Promise<CommandResult> => runAs(program, [...args, '--data-dir', dataDir])
  const connected = async (): Promise<boolean> => {
    const { stdout, code } = await helio('device', 'link', '--output', 'json')
    return code === 0 && (JSON.parse(stdout) as { connected: boolean }).connected
  }
  const bytes = (): Bytes => readCounters(space)
  const reset = (): void => void tool('ip', 'netns', 'exec', space, 'nft', 'reset', 'counters')
  return {
    name,
    transport,
    dataDir,
    get pid() {
      return state.agent.pid
    },
    bytes,
    reset,
    helio,
    async quiet(quietMs) {
      let last = bytes()
      let sinceMs = performance.now()
      const endMs = sinceMs + QUIET_PATIENCE_MS
      while (performance.now() - sinceMs < quietMs && performance.now() < endMs) {
        await pause(200)
        const now = bytes()
        if (now.packets !== last.packets) sinceMs = performance.now()
        last = now
      }
      return last
    },
    async cut(forget) {
      const port = String(PORTS[transport])
      const lines = tool('ip', 'netns', 'exec', space, 'ss', '-Htn', 'state', 'established', 'dport', '=', `:${port}`)
      for (const [, own] of lines.matchAll(/10\.219\.\d+\.2:(\d+)/g)) {
        nft('add', 'rule', 'inet', TABLE, 'cut_in', 'tcp', 'dport', own!, 'drop')
        nft('add', 'rule', 'inet', TABLE, 'cut_out', 'tcp', 'sport', own!, 'reject', 'with', 'tcp', 'reset')
      }
      if (forget)
        nft('add', 'rule', 'inet', TABLE, 'cut_hello', ...`tcp dport ${port} tcp flags & psh == psh counter name hello`.split(' '))
      if (forget)
        nft('add', 'rule', 'inet', TABLE, 'cut_hello', ...`tcp dport ${port} tcp flags & psh == psh reject with tcp reset`.split(' '))
      reset()
      // Asks for a ping, which meets the reset.
      await helio('device', 'sync')
      if (forget) {
        await eventually(`the dial of ${name}`, READY_PATIENCE_MS, () => readCounters(space).hello > 0)
        nft('flush', 'chain', 'inet', TABLE, 'cut_hello')
        reset()
      }
      await eventually(`the reconnection of ${name}`, READY_PATIENCE_MS, async () => bytes().packets > 4 && (await connected()))
    },
    async restart() {
      await state.agent.stop()
      await pause(500)
      reset()
      state.agent = await start()
      await eventually(`the reconnection of ${name}`, READY_PATIENCE_MS, connected)
    },
  }
}

/** Starts server and broker; everything is removed by the bench's cleanup. */
export const openWire = async (bench: Bench): Promise<Wire> => {
  if (!existsSync(MOSQUITTO)) throw new Error(`${MOSQUITTO} is not installed`)
  const { program, dir } = openProgram(bench)
  const serverSpace = `helio-bench-${process.pid}`
  openSpace(bench, serverSpace)
  const dataDir = join(dir, 'server')
  const serve = (...more: string[]): Promise<Running> =>
    startAs(
      inSpace(program, serverSpace),
      ...['server', '--data-dir', dataDir, '--no-agent', '--bind', '0.0.0.0', '--port', String(PORTS.ws)],
      ...['--mqtt-port', String(PORTS.mqtt), '--cluster-cidr', '10.216.0.0/16', ...more],
    )
  // Once without the broker, which takes its keys from the server's folder.
  await (await serve()).kill()
  await startBroker(bench, { program, space: serverSpace, dataDir }, join(dir, 'broker'))
  const server = await serve('--mqtt-broker', `mqtts://127.0.0.1:${PORTS.broker}`)
  bench.cleanup(() => server.kill())
  const state = { devices: 0 }
  return {
    dataDir,
    helio: (args, input) => runAs(inSpace(program, serverSpace), [...args, '--data-dir', dataDir], input),
    device(name, transport) {
      const i = state.devices++
      const space = `${serverSpace}-${i}`
      openSpace(bench, space)
      connectSpaces(serverSpace, space, i)
      openCounters(space)
      const address = `10.219.${100 + i}.1`
      const way = {
        ws: ['--link', 'ws'],
        mqtt: ['--link', 'mqtt', '--mqtt-url', `mqtts://${address}:${PORTS.mqtt}`],
        broker: ['--link', 'mqtt', '--mqtt-broker', `mqtts://${address}:${PORTS.broker}`],
      }[transport]
      const token = readFileSync(join(dataDir, 'join-token'), 'utf8').trim()
      const flags = ['--server', `https://${address}:${PORTS.ws}`, '--token', token, '--node-name', name, ...way]
      return deviceOf({ bench, program, name, transport, space, dataDir: join(dir, name), flags })
    },
  }
}
