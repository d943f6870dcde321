// npm run bench:link [-- --only NAME,…] [--seconds N | --minutes N] [--full] [--output json]: what the link costs, measured with the real
// program: bytes on the wire by nftables, memory and time of a server with many devices. Nothing here asserts; a figure beyond its mark is
// printed as MISSED and the exit code stays 0. Whatever was made is removed at the end, also by SIGINT.

import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { HELIO } from '../e2e/cluster.ts'
import { type Bench, type Figure, jsonOf, tableOf } from './link-figures.ts'
import { benchFleet, benchReconnect } from './link-fleet.ts'
import { benchMemory } from './link-memory.ts'
import { benchTraffic } from './link-traffic.ts'

const PARTS: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  traffic: benchTraffic,
  memory: benchMemory,
  'fleet-ws': bench => benchFleet(bench, 'ws'),
  'fleet-mqtt': bench => benchFleet(bench, 'mqtt'),
  'fleet-broker': bench => benchFleet(bench, 'broker'),
  'reconnect-ws': bench => benchReconnect(bench, 'ws'),
  'reconnect-mqtt': bench => benchReconnect(bench, 'mqtt'),
  'reconnect-broker': bench => benchReconnect(bench, 'broker'),
}

const leave = (code: number, message: string, hint: string): never => {
  process.stderr.write(`error: ${message}\nhint: ${hint}\n`)
  process.exit(code)
}

const readOptions = () => {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string' },
        seconds: { type: 'string' },
        minutes: { type: 'string' },
        full: { type: 'boolean' },
        output: { type: 'string' },
      },
    })
    return values
  } catch (error) {
    return leave(2, String(error), '--only NAME,… --seconds N --minutes N --full --output json')
  }
}

const WINDOW_SECONDS = 100
const options = readOptions()
const names = options.only?.split(',') ?? Object.keys(PARTS)
const unknown = names.find(name => !Object.hasOwn(PARTS, name))
if (unknown) leave(2, `no part is called ${unknown}`, Object.keys(PARTS).join(', '))
if (!existsSync(HELIO)) leave(1, 'dist/helio is not built', 'npm run build')
if (process.getuid?.() !== 0) leave(1, 'network namespaces are made by root', 'sudo npm run bench:link')

const figures: Figure[] = []
const undos: (() => unknown)[] = []
const undo = async (one: () => unknown): Promise<void> => {
  const at = undos.indexOf(one)
  if (at < 0) return
  undos.splice(at, 1)
  try {
    await one()
  } catch (error) {
    process.stderr.write(`clean up: ${String(error)}\n`)
  }
}
const undoAll = async (): Promise<void> => {
  for (let last = undos.at(-1); last; last = undos.at(-1)) await undo(last)
}

const bench: Bench = {
  seconds: Number(options.seconds ?? (options.minutes === undefined ? WINDOW_SECONDS : 60 * Number(options.minutes))),
  full: options.full === true,
  say: figure => void figures.push(figure),
  note: text => void process.stderr.write(`# ${text}\n`),
  cleanup(one) {
    undos.push(one)
    return () => undo(one)
  },
}

const print = (): void => void process.stdout.write(`${options.output === 'json' ? jsonOf(figures) : tableOf(figures)}\n`)

const interrupted = (): void => {
  process.stderr.write('interrupted: cleaning up\n')
  void undoAll().finally(() => {
    if (figures.length > 0) print()
    process.exit(130)
  })
}
process.once('SIGINT', interrupted)
process.once('SIGTERM', interrupted)

const failures: string[] = []
for (const name of names) {
  bench.note(name)
  try {
    await PARTS[name]!(bench)
  } catch (error) {
    failures.push(name)
    process.stderr.write(`error: ${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  } finally {
    await undoAll()
  }
}
if (figures.length > 0) print()
process.exit(failures.length > 0 ? 1 : 0)
