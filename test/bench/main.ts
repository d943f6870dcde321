// npm run bench [-- NAME …] [-- --seconds N]: prints one JSON line a figure. Nothing here asserts; numbers are for people and notes.

import { existsSync } from 'node:fs'
import { freePort, HELIO, type Running, startServer, temporaryDir, wipe } from '../e2e/cluster.ts'
import { manySecrets, mixedLoad, singleClient, watchDelay } from './api.ts'
import { coldValues } from './cold.ts'
import { report } from './measure.ts'
import { replicas } from './replicas.ts'
import { idle, startup } from './startup.ts'

const argv = process.argv.slice(2)
const secondsAt = argv.indexOf('--seconds')
const idleSeconds = secondsAt < 0 ? 60 : Number(argv[secondsAt + 1])
const wanted = argv.filter((word, i) => !word.startsWith('--') && (secondsAt < 0 || i !== secondsAt + 1))

const withServer = async (work: (dir: string, server: Running) => Promise<void>): Promise<void> => {
  const dir = temporaryDir()
  const server = await startServer(dir, await freePort(), '--no-agent')
  try {
    await work(dir, server)
  } finally {
    await server.stop()
    wipe(dir)
  }
}

const BENCHES: Readonly<Record<string, () => Promise<void>>> = {
  startup: () => startup(),
  single: () => withServer(dir => singleClient(dir)),
  mixed: () =>
    withServer(async (dir, server) => {
      await mixedLoad(dir, server.pid, 12)
      await mixedLoad(dir, server.pid, 64)
    }),
  secrets: () => withServer((dir, server) => manySecrets(dir, server.pid)),
  watch: () => withServer(dir => watchDelay(dir)),
  replicas: () => withServer((dir, server) => replicas(dir, server.url)),
  cold: () => coldValues(),
  idle: () => idle(idleSeconds),
}

if (!existsSync(HELIO)) {
  process.stderr.write('error: dist/helio is not built\nhint: npm run build\n')
  process.exit(1)
}
const unknown = wanted.find(name => !(name in BENCHES))
if (unknown) {
  process.stderr.write(`error: no benchmark is called ${unknown}\nhint: ${Object.keys(BENCHES).join(', ')}\n`)
  process.exit(2)
}
report('machine', { node: process.env['HELIO_TEST_NODE'] ?? 'as dist/helio finds it', runner: process.version, arch: process.arch })
for (const [name, bench] of Object.entries(BENCHES)) if (wanted.length === 0 || wanted.includes(name)) await bench()
