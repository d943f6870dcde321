// A cluster for the command line: the real API over a real store in memory, behind HTTPS on loopback with certificates of its own
// authority, and a way to run helio's verbs against it with strings for streams.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { type ApiDeps, createApi, createVerbs, type LocalVerbs, listen } from '../../../src/api/api.ts'
import { silentLog } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { type CliDeps, type CliImage, runCli } from '../../../src/cli/cli.ts'
import { systemClock } from '../../../src/host/clock.ts'
import { systemPki } from '../../../src/host/pki.ts'
import { KINDS } from '../../../src/kinds/index.ts'
import { openMemoryStore } from '../../../src/store/store.ts'

export const ADMIN = { name: 'system:admin', groups: ['system:masters', 'system:authenticated'] }
const DAY_MS = 86_400_000

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly stdin?: string
  readonly tty?: boolean
  readonly env?: Record<string, string>
  readonly signal?: AbortSignal
  /** Sees standard output as it grows. */
  readonly onStdout?: (all: string) => void
  readonly images?: Pick<CliDeps, 'importImages' | 'listImages'>
}

const noImages = {
  importImages: async (): Promise<CliImage[]> => [],
  listImages: async (): Promise<CliImage[]> => [],
  writeBrokerFiles: async (_dataDir: string, out: string): Promise<string[]> => [`${out}/mosquitto.conf`],
  upgrades: async () => (await import('../../../src/main-upgrade.ts')).upgradeDesk,
}

class Screen extends PassThrough {
  readonly isTTY: boolean
  readonly columns = 80
  text = ''
  constructor(isTTY: boolean, onText: (all: string) => void = () => {}) {
    super()
    this.isTTY = isTTY
    this.on('data', chunk => {
      this.text += String(chunk)
      onText(this.text)
    })
  }
}

const notHere = async (): Promise<never> => {
  throw new Error('this world has no machine to install on')
}

/** Runs one command line in this process. */
export const runHelio = async (argv: readonly string[], dataDir: string, options: RunOptions = {}): Promise<Ran> => {
  const stdout = new Screen(options.tty ?? false, options.onStdout)
  const stderr = new Screen(options.tty ?? false)
  const code = await runCli(argv, {
    stdout,
    stderr,
    stdin: Readable.from(options.stdin === undefined ? [] : [options.stdin]),
    env: options.env ?? {},
    clock: systemClock,
    signal: options.signal ?? new AbortController().signal,
    version: { gitVersion: 'v1.36.0+helio0.1.0', gitCommit: 'test', buildDate: '2026-01-01T00:00:00Z', platform: 'linux/amd64' },
    program: async () => ({ version: '0.1.0', commit: 'test', target: 'linux-x64', packaged: false, node: '24.0.0', sqlite: '3.52.0' }),
    verifyProgram: async () => {
      throw new Error('verify program: nothing is packaged here')
    },
    install: notHere,
    uninstall: notHere,
    checkMachine: notHere,
    dataDirDefault: dataDir,
    ...noImages,
    ...options.images,
  })
  return { code, stdout: stdout.text, stderr: stderr.text }
}

export interface World {
  readonly dir: string
  readonly verbs: LocalVerbs
  readonly url: string
  helio(line: string | readonly string[], options?: RunOptions): Promise<Ran>
  /** A file in the world's folder; its path. */
  file(name: string, text: string): string
  close(): Promise<void>
}

const kubeconfig = (url: string, caPem: string, client: { certPem: string; keyPem: string }): string => {
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  return `apiVersion: v1
kind: Config
clusters:
- name: local
  cluster: {server: "${url}", certificate-authority-data: ${base64(caPem)}}
users:
- name: admin
  user: {client-certificate-data: ${base64(client.certPem)}, client-key-data: ${base64(client.keyPem)}}
contexts:
- name: local
  context: {cluster: local, user: admin}
current-context: local
`
}

/** Opens a world in an empty folder; close it in a teardown. */
export const openWorld = async (dir: string, podLogs: ApiDeps['podLogs'] = async () => {}): Promise<World> => {
  const nowMs = systemClock.now()
  const authority = systemPki.createAuthority('test', nowMs - DAY_MS, nowMs + DAY_MS)
  const issue = (commonName: string, usage: 'server' | 'client', altNames: string[]) =>
    systemPki.issue(authority, {
      commonName,
      organizations: usage === 'client' ? ['system:masters'] : [],
      altNames,
      usage,
      notBeforeMs: nowMs - DAY_MS,
      notAfterMs: nowMs + DAY_MS,
    })
  const store = await openMemoryStore({ clock: systemClock, random: seededRandom('store'), log: silentLog })
  const deps: ApiDeps = {
    store,
    clock: systemClock,
    random: seededRandom('cli'),
    log: silentLog,
    kinds: KINDS,
    podLogs,
    version: { gitVersion: 'v1.36.0', gitCommit: 'test', buildDate: '', platform: 'linux/amd64' },
    checks: {},
  }
  const verbs = createVerbs(deps)
  const keys = issue('server', 'server', ['IP:127.0.0.1'])
  const listener = await listen({
    ...deps,
    ...keys,
    api: createApi(deps, verbs),
    bind: '127.0.0.1',
    port: 0,
    authorityPem: authority.certPem,
  })
  const url = `https://127.0.0.1:${listener.port}`
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'kubeconfig'), kubeconfig(url, authority.certPem, issue('admin', 'client', [])))
  return {
    dir,
    verbs,
    url,
    helio: (line, options) => runHelio(typeof line === 'string' ? line.split(' ') : line, dir, options),
    file(name, text) {
      writeFileSync(join(dir, name), text)
      return join(dir, name)
    },
    async close() {
      await listener.close()
      await store.close()
    },
  }
}
