// A cluster for the command line: the real API over a real store in memory, behind HTTPS on loopback with certificates of its own
// authority, and a way to run helio's verbs against it with strings for streams.

import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { type Api, type ApiDeps, createApi, createVerbs, type LocalVerbs, type Sink } from '../../../src/api/api.ts'
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
    dataDirDefault: dataDir,
    ...(options.images ?? noImages),
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

const serve = (api: Api, keys: { caPem: string; certPem: string; keyPem: string }): Server =>
  createServer(
    { ca: keys.caPem, cert: keys.certPem, key: keys.keyPem, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const abort = new AbortController()
      response.on('close', () => abort.abort())
      const body = async (): Promise<Buffer> => {
        const chunks: Buffer[] = []
        for await (const chunk of request) chunks.push(chunk as Buffer)
        return Buffer.concat(chunks)
      }
      const identity = 'authorized' in request.socket && request.socket.authorized ? ADMIN : undefined
      const answer = async (): Promise<void> => {
        const {
          status,
          headers,
          body: content,
        } = await api.handle({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, identity, body })
        response.writeHead(status, headers as Record<string, string>)
        if (typeof content !== 'function') {
          for (const part of Array.isArray(content) ? content : [content]) response.write(part)
          response.end()
          return
        }
        const sink: Sink = {
          write: data => void response.write(data),
          pendingBytes: () => response.writableLength,
          drained: () => new Promise(resolve => response.once('drain', resolve)),
          signal: abort.signal,
        }
        response.flushHeaders()
        await content(sink)
        response.end()
      }
      answer().catch((error: Error) => response.destroy(error))
    },
  )

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
    systemPki.issue(authority, { commonName, organizations: [], altNames, usage, notBeforeMs: nowMs - DAY_MS, notAfterMs: nowMs + DAY_MS })
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
  const server = serve(createApi(deps, verbs), { caPem: authority.certPem, ...issue('server', 'server', ['IP:127.0.0.1']) })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
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
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
      await store.close()
    },
  }
}
