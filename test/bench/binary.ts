// npm run bench:binary [-- --seconds N --runs N --output json]: what the packaged executable weighs and costs, next to dist/helio: file sizes,
// exec to --help, exec to ready, resident memory of server and agent at rest. Run npm run build and npm run package before. Files for other
// processors are only weighed. dist/helio runs on a copy of Node that no other process maps, or its PSS would be shared with whatever runs
// here. Nothing here asserts.

import { copyFileSync, existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { TARGETS } from '../../scripts/package/targets.ts'
import { Client, until } from '../e2e/client.ts'
import { type Actor, freePort, HELIO, type Running, runAs, startAs, temporaryDir, wipe } from '../e2e/cluster.ts'
import { type Figure, jsonOf, MB, pause, tableOf } from './link-figures.ts'
import { percentile, processFigures } from './measure.ts'

const BUILD = join(import.meta.dirname, '../../build')
const XZ_MB_MAX = 32
/** A packaged executable lets go of its pages 20 s after the start. */
const SETTLE_MS = 30_000
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    runs: { type: 'string', default: '9' },
    output: { type: 'string', default: 'table' },
  },
})
const runs = Number(values.runs)
const figures: Figure[] = []

const weigh = (): void => {
  const size = (part: string, what: string, path: string, wanted?: number): void => {
    if (existsSync(path)) figures.push({ part, what, value: statSync(path).size / MB, unit: 'MB', ...(wanted ? { wanted } : {}) })
  }
  size('dist/helio', 'bundle', HELIO)
  size('dist/helio', 'addon', join(HELIO, '../node_sqlite3.node'))
  for (const { name } of TARGETS) {
    size(name, 'file', join(BUILD, `helio-${name}`))
    size(name, 'file as xz', join(BUILD, `helio-${name}.xz`), XZ_MB_MAX)
  }
}

/** Median milliseconds; after one run that warms the page cache. */
const timed = async (once: () => Promise<number>): Promise<number> => {
  await once()
  const samples: number[] = []
  for (let i = 0; i < runs; i++) samples.push(await once())
  return percentile(samples, 50)
}

const rest = async (part: string, what: string, process: Running): Promise<void> => {
  await pause(SETTLE_MS)
  const before = processFigures(process.pid)
  await pause(Number(values.seconds) * 1000)
  const after = processFigures(process.pid)
  figures.push({ part, what: `${what} at rest, RSS`, value: after.rssMiB, unit: 'MB' })
  figures.push({ part, what: `${what} at rest, PSS`, value: after.pssMiB, unit: 'MB' })
  const share = ((after.cpuSeconds - before.cpuSeconds) / Number(values.seconds)) * 100
  figures.push({ part, what: `${what} at rest, CPU`, value: share, unit: '%' })
}

const measure = async (part: string, actor: Actor): Promise<void> => {
  const help = await timed(async () => {
    const at = performance.now()
    await runAs(actor, ['--help'])
    return performance.now() - at
  })
  figures.push({ part, what: 'exec to the end of --help', value: help, unit: 'ms' })
  const dir = temporaryDir()
  const device = temporaryDir()
  const port = await freePort()
  const serve = (): Promise<Running> => startAs(actor, 'server', '--data-dir', dir, '--port', String(port), '--no-agent')
  try {
    const ready = await timed(async () => {
      const server = await serve()
      await server.stop()
      return server.readyMs
    })
    figures.push({ part, what: 'exec to ready, server', value: ready, unit: 'ms' })
    const server = await serve()
    await rest(part, 'server', server)
    const token = readFileSync(join(dir, 'join-token'), 'utf8').trim()
    const words = ['--data-dir', device, '--node-name', 'bench', '--runtime', 'process']
    const agent = await startAs(actor, 'agent', ...words, '--server', `https://127.0.0.1:${port}`, '--token', token)
    const client = await Client.open(join(dir, 'kubeconfig'))
    await until(client, '/api/v1/nodes', items => items.size === 1, 10_000, 'node')
    client.close()
    await rest(part, 'agent', agent)
    await agent.stop()
    await server.stop()
  } finally {
    wipe(device)
    wipe(dir)
  }
}

weigh()
if (existsSync(HELIO)) {
  const dir = temporaryDir()
  try {
    const node = join(dir, 'node')
    copyFileSync(process.execPath, node)
    await measure('dist/helio', { command: node, args: ['--max-semi-space-size=8', HELIO] })
  } finally {
    wipe(dir)
  }
}
const [native] = TARGETS.filter(({ name, emulator }) => emulator.length === 0 && existsSync(join(BUILD, `helio-${name}`)))
if (native) await measure(native.name, { command: join(BUILD, `helio-${native.name}`), args: [] })
else process.stderr.write('warning: nothing is packaged for this processor: npm run package\n')
process.stdout.write(`${values.output === 'json' ? jsonOf(figures) : tableOf(figures)}\n`)
