// The real executable under test: starts and ends dist/helio by pid, waits for its one line, cleans up what pods left behind.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { linkPrefix, tableName } from '../../src/network/routed.ts'

const root = join(import.meta.dirname, '../..')
/** The built program. */
export const HELIO = join(root, 'dist/helio')
const NODE = process.env['HELIO_TEST_NODE']

/**
 * Words before a program's own. The runner has every Node process load its reporter, which writes into the runner's folder at the end: a
 * process of another user may not, and ends with code 1 for it; nor is it part of what is measured.
 */
const UNWATCHED = ['env', '-u', 'NODE_OPTIONS'] as const

/** What the first line of dist/helio sets; given here when another Node runs it. */
const MALLOC = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '65536' }

const READY_MS = 60_000

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => (address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))))
    })
  })

export interface Running {
  readonly pid: number
  readonly child: ChildProcess
  readonly url: string
  /** Milliseconds from spawn to the ready line. */
  readonly readyMs: number
  /** Everything on standard error so far. */
  stderr(): string
  /** SIGKILL; settles when it is gone. */
  kill(): Promise<void>
  /** SIGTERM; settles with the exit code. */
  stop(): Promise<number | null>
}

const exited = (child: ChildProcess): Promise<number | null> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise(resolve => child.once('exit', code => resolve(code)))

/** Whose hands the program is in: the words before its arguments, and a user where it is not this one. */
export interface Actor {
  readonly command: string
  readonly args: readonly string[]
  readonly uid?: number
  readonly gid?: number
}

/** The built program; run with the Node that HELIO_TEST_NODE names, or as it is. */
export const SELF: Actor = NODE ? { command: NODE, args: ['--max-semi-space-size=8', HELIO] } : { command: HELIO, args: [] }

const userOf = ({ uid, gid }: Pick<Actor, 'uid' | 'gid'>) => ({
  ...(uid === undefined ? {} : { uid }),
  ...(gid === undefined ? {} : { gid }),
})

const start = (args: readonly string[], waitForReady: boolean, actor: Actor = SELF): Promise<Running> =>
  new Promise((resolve, reject) => {
    const startedAt = performance.now()
    const [env, ...words] = UNWATCHED
    const child = spawn(env, [...words, actor.command, ...actor.args, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...MALLOC },
      ...userOf(actor),
    })
    let stdout = ''
    let stderr = ''
    const running = (url: string): Running => ({
      pid: child.pid!,
      child,
      url,
      readyMs: performance.now() - startedAt,
      stderr: () => stderr,
      async kill() {
        child.kill('SIGKILL')
        await exited(child)
      },
      async stop() {
        child.kill('SIGTERM')
        return exited(child)
      },
    })
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`helio ${args[0]}: no ready line within ${READY_MS} ms\n${stderr.slice(-2000)}`))
    }, READY_MS)
    child.stdout.on('data', chunk => {
      stdout += chunk
      const line = /^ready (\S+)$/m.exec(stdout)
      if (!line) return
      clearTimeout(timer)
      resolve(running(line[1]!))
    })
    child.stderr.on('data', chunk => {
      stderr = (stderr + chunk).slice(-1_000_000)
    })
    child.once('exit', code => {
      clearTimeout(timer)
      reject(new Error(`helio ${args[0]}: ended with ${code}\n${stderr.slice(-2000)}`))
    })
    if (!waitForReady) {
      clearTimeout(timer)
      resolve(running(''))
    }
  })

export const startServer = (dataDir: string, port: number, ...more: string[]): Promise<Running> =>
  start(['server', '--data-dir', dataDir, '--port', String(port), ...more], true)
/** The agent says `ready` too, once it has looked at its pods; server and token may be left out once the folder has state. */
export const startAgent = (dataDir: string, ...more: string[]): Promise<Running> => start(['agent', '--data-dir', dataDir, ...more], true)

/** Any role, by somebody else. */
export const startAs = (actor: Actor, ...args: string[]): Promise<Running> => start(args, true, actor)

export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end with an optional standard input. */
export const run = (
  command: string,
  args: readonly string[],
  input?: string,
  env: Record<string, string> = {},
  user: Pick<Actor, 'uid' | 'gid'> = {},
): Promise<CommandResult> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env }, ...userOf(user) })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', chunk => {
      stdout += chunk
    })
    child.stderr.on('data', chunk => {
      stderr += chunk
    })
    child.on('error', reject)
    child.on('close', code => resolve({ code: code ?? 128, stdout, stderr }))
    child.stdin.on('error', () => child.stdin.destroy())
    child.stdin.end(input ?? '')
  })

/** A command line by somebody, with standard input. */
export const runAs = (actor: Actor, args: readonly string[], input?: string): Promise<CommandResult> =>
  run(UNWATCHED[0], [...UNWATCHED.slice(1), actor.command, ...actor.args, ...args], input, {}, actor)

export const helio = (...args: string[]): Promise<CommandResult> => runAs(SELF, args)

export const temporaryDir = (): string => mkdtempSync(join(tmpdir(), 'helio-e2e-'))

/** `$KUBECTL`, then PATH; undefined when there is none or `$KUBECTL` is `none`. A wrapper that cannot print its client version does not count. */
export const findKubectl = (): string | undefined => {
  if (process.env['KUBECTL'] === 'none') return undefined
  for (const candidate of [process.env['KUBECTL'], 'kubectl']) {
    if (!candidate) continue
    try {
      execFileSync(candidate, ['version', '--client'], { stdio: 'pipe' })
      return candidate
    } catch (error) {
      if (!(error instanceof Error)) throw error
    }
  }
  return undefined
}

/** Pids whose mount namespace or arguments belong to a data folder: conmon and the processes below it. */
const leftovers = (dataDir: string): number[] =>
  readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(dataDir)
      } catch (error) {
        if (error instanceof Error) return false
        throw error
      }
    })
    .map(Number)

const childrenOf = (pid: number): number[] => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
  } catch (error) {
    if (error instanceof Error) return []
    throw error
  }
}

const killQuietly = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

/** What removes the links and the table of the agent of a data folder. */
const networkOf = (dataDir: string): string[][] => {
  const links = readdirSync('/sys/class/net').filter(name => name.startsWith(linkPrefix(dataDir)))
  return [...links.map(name => ['ip', 'link', 'delete', name]), ['nft', 'delete', 'table', 'ip', tableName(dataDir)]]
}

/** For cleaning up: what is not there needs no removal. */
const runQuietly = (command: string, args: readonly string[]): void => {
  spawnSync(command, args, { stdio: 'ignore', env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` } })
}

/** Ends what still runs for a data folder, unmounts below it and removes it, and its cgroups. Only for tests. */
export const wipe = (dataDir: string, cgroups: readonly string[] = []): void => {
  for (const pid of leftovers(dataDir)) {
    for (const child of childrenOf(pid)) killQuietly(child)
    killQuietly(pid)
  }
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map(line => (line.split(' ')[1] ?? '').replaceAll('\\040', ' '))
    .filter(path => path.startsWith(`${dataDir}/`))
    .reverse()
  for (const path of mounts) execFileSync('umount', ['-l', path], { stdio: 'ignore' })
  rmSync(dataDir, { recursive: true, force: true })
  if (process.getuid?.() === 0) for (const [command, ...args] of networkOf(dataDir)) runQuietly(command!, args)
  for (const path of cgroups) if (existsSync(path)) rmdirSync(path)
}
