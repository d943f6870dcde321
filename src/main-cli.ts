// The command line: what its verbs may touch, handed in. Images go to the disk here, and a running agent is told to look again.

import { request } from 'node:http'
import { join } from 'node:path'
import type { CliDeps, CliImage } from './cli/cli.ts'
import { systemClock } from './host/clock.ts'
import { systemExec } from './host/exec.ts'
import { jsonLog } from './host/log.ts'
import { DATA_DIR_DEFAULT, isRole, roleHelp, VERSION } from './main-options.ts'

const openImages = async (dataDir: string) => {
  const { openImageStore } = await import('./agent/images/image-store.ts')
  return openImageStore(join(dataDir, 'images'), { clock: systemClock, exec: systemExec, log: jsonLog('error') })
}

/** Tells the agent of this data folder, when one is running, that images came. */
const nudgeAgent = (dataDir: string): Promise<void> =>
  new Promise(resolve => {
    const call = request({ socketPath: join(dataDir, 'agent.sock'), path: '/v1/images/refresh', method: 'POST' }, response => {
      response.resume()
      response.on('end', resolve)
    })
    call.on('error', (error: NodeJS.ErrnoException) => {
      // No agent runs: it reads the index when it starts. Anything else the user should know of.
      if (error.code !== 'ENOENT' && error.code !== 'ECONNREFUSED')
        process.stderr.write(`warning: the running agent was not told of the image: ${error.message}\n`)
      resolve()
    })
    call.end()
  })

const importImages: CliDeps['importImages'] = async (dataDir, path, options) => {
  const images = await (await openImages(dataDir)).import(path, options)
  await nudgeAgent(dataDir)
  return images
}

const listImages = async (dataDir: string): Promise<readonly CliImage[]> => (await openImages(dataDir)).list()

export const runCommand = async (argv: readonly string[]): Promise<number> => {
  const role = argv.find(word => word !== 'help' && !word.startsWith('-'))
  if (isRole(role) && (argv[0] === 'help' || argv[0] === role)) {
    process.stdout.write(roleHelp(role))
    return 0
  }
  const { runCli } = await import('./cli/cli.ts')
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())
  return runCli(argv, {
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    env: process.env,
    clock: systemClock,
    signal: stopping.signal,
    version: VERSION,
    program: async () => (await import('./main-version.ts')).programFacts(),
    verifyProgram: async options => (await import('./main-version.ts')).verifyProgram(options),
    dataDirDefault: DATA_DIR_DEFAULT,
    importImages,
    listImages,
    install: async (...asked) => (await import('./main-install.ts')).installHere(...asked),
    uninstall: async (...asked) => (await import('./main-uninstall.ts')).uninstallHere(...asked),
    checkMachine: async (...asked) => (await import('./main-check.ts')).checkMachine(...asked),
    writeBrokerFiles: async (...files) => (await import('./main-broker.ts')).writeBrokerFiles(...files),
    upgrades: async () => (await import('./main-upgrade.ts')).upgradeDesk,
  })
}
