// What the checks inside the test board stand on: verdicts on the console, the product's own commands, and the kernel's files.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

export const DATA = '/var/lib/heliopause'
export const HELIO = '/opt/helio/helio'
export const LOG = '/var/log/helio.log'
export const CGROUPS = '/sys/fs/cgroup'

const say = (line: string): void => void process.stdout.write(`${line}\n`)
export const note = (text: string): void => say(`NOTE ${text}`)
const uptime = (): string => readFileSync('/proc/uptime', 'utf8').split(' ')[0] ?? ''

/** Tells the console, which is all the outside sees. */
export const check = async (name: string, fn: () => Promise<unknown> | unknown): Promise<boolean> => {
  try {
    await fn()
    say(`PASS ${name} (up ${uptime()} s)`)
    return true
  } catch (error) {
    say(`FAIL ${name}: ${(error instanceof Error ? error.message : String(error)).replaceAll('\n', ' | ').slice(0, 3000)}`)
    return false
  }
}

export const equal = (got: unknown, wanted: unknown, what: string): void => {
  if (got !== wanted) throw new Error(`${what}: ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`)
}

export interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export const run = (command: string, args: readonly string[], input?: string): Promise<Result> =>
  new Promise(resolve => {
    const child = execFile(command, [...args], { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 128), stdout, stderr }),
    )
    child.stdin?.on('error', () => child.stdin?.destroy())
    child.stdin?.end(input ?? '')
  })

/** Runs a command of helio that must succeed. */
export const helio = async (args: readonly string[], input?: string): Promise<string> => {
  const result = await run(HELIO, [...args, '--data-dir', DATA], input)
  if (result.code !== 0) throw new Error(`helio ${args.join(' ')}: exit ${result.code}: ${result.stderr}`)
  return result.stdout
}

export const helioJson = async <T>(...args: string[]): Promise<T> => JSON.parse(await helio([...args, '-o', 'json'])) as T

/** Starts a role and settles at its ready line. Its log goes to LOG. */
export const startRole = (role: 'server' | 'agent'): Promise<ChildProcess> =>
  new Promise((resolve, reject) => {
    const child = spawn(HELIO, [role, '--data-dir', DATA], { stdio: ['ignore', 'pipe', openSync(LOG, 'a')], detached: true })
    child.once('exit', code => reject(new Error(`helio ${role} ended with ${code}: ${logTail(5)}`)))
    createInterface({ input: child.stdout! }).on('line', line => {
      if (line.startsWith('ready ')) resolve(child)
    })
  })

/** SIGKILL; settles when it is gone. */
export const killRole = (child: ChildProcess): Promise<void> =>
  new Promise(resolve => {
    child.removeAllListeners('exit')
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })

export const logTail = (lines: number): string =>
  existsSync(LOG) ? readFileSync(LOG, 'utf8').trim().split('\n').slice(-lines).join('\n') : ''

/** Asks again and again until `look` gives something; every look is a command of its own and takes its time. */
export const until = async <T>(what: string, seconds: number, look: () => Promise<T | undefined>, last?: () => unknown): Promise<T> => {
  const start = process.hrtime.bigint()
  for (;;) {
    const value = await look()
    if (value !== undefined) return value
    if (process.hrtime.bigint() - start > BigInt(seconds) * 1_000_000_000n)
      throw new Error(`${what}: not within ${seconds} s; last: ${JSON.stringify(last?.())}; log: ${logTail(6)}`)
  }
}

export interface DevicePod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly ready: { readonly ready: number; readonly total: number }
  readonly summary: string
  readonly restarts: number
  readonly containers: readonly { readonly name: string; readonly pid: number | null }[]
  readonly status: { readonly podIP?: string; readonly phase?: string }
}

export const devicePods = async (): Promise<readonly DevicePod[]> =>
  (await helioJson<{ items: readonly DevicePod[] }>('device', 'pods')).items

export const readyIn = (pods: readonly DevicePod[], namespace: string): readonly DevicePod[] =>
  pods.filter(pod => pod.namespace === namespace && pod.ready.total > 0 && pod.ready.ready === pod.ready.total)

/** Settles once `count` pods of a namespace are ready in the eyes of the device itself. */
export const untilReady = async (namespace: string, count: number, seconds: number): Promise<readonly DevicePod[]> => {
  const seen: { pods: readonly DevicePod[] } = { pods: [] }
  return until(
    `${count} pods of ${namespace} ready`,
    seconds,
    async () => {
      // The socket of the agent may not be there yet.
      const result = await run(HELIO, ['device', 'pods', '-o', 'json', '--data-dir', DATA])
      seen.pods = result.code === 0 ? (JSON.parse(result.stdout) as { items: readonly DevicePod[] }).items : []
      const ready = readyIn(seen.pods, namespace)
      return ready.length === count ? ready : undefined
    },
    () => seen.pods.map(pod => `${pod.name} ${pod.summary} ${pod.ready.ready}/${pod.ready.total}`),
  )
}

/** Settles once the device has its server. */
export const untilConnected = async (): Promise<void> => {
  const seen: { last: string } = { last: '' }
  await until(
    'connected',
    60,
    async () => {
      const result = await run(HELIO, ['device', 'status', '-o', 'json', '--data-dir', DATA])
      seen.last = result.stdout || result.stderr
      return result.code === 0 && JSON.parse(result.stdout).server.connected ? true : undefined
    },
    () => seen.last,
  )
}

/** Container pids by pod and container. */
export const pidsOf = (pods: readonly DevicePod[]): string =>
  JSON.stringify(pods.flatMap(pod => pod.containers.map(({ name, pid }) => `${pod.name}/${name} ${pid}`)).sort())

export const fetchPage = async (ip: string): Promise<string> =>
  (await fetch(`http://${ip}:8080/index.html`, { signal: AbortSignal.timeout(10_000) })).text()

/** The value of a control file of a container. */
export const cgroupFile = (pod: { readonly uid: string }, container: string, file: string): string =>
  readFileSync(`${CGROUPS}/helio/${pod.uid}/${container}/${file}`, 'utf8').trim()

/** Control groups the product made for pods. */
export const podGroups = (): readonly string[] =>
  existsSync(`${CGROUPS}/helio`)
    ? readdirSync(`${CGROUPS}/helio`, { withFileTypes: true }).flatMap(entry =>
        entry.isDirectory() && entry.name !== 'monitors' ? [entry.name] : [],
      )
    : []

/** Mount points of one pod. */
export const mountsOf = (uid: string): readonly string[] =>
  readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map(line => line.split(' ')[1] ?? '')
    .filter(path => path.includes(uid))
