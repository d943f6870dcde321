// An installed device without an init system: the launcher, slots with copies of the built program, and a supervisor that starts a role again
// whenever it ends. Pods are plain processes that came with the device; no server is anywhere.

import { type ChildProcess, spawn } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { writeImage } from '../../scripts/oci-image.ts'
import { targetOf } from '../../src/agent/slots/executable.ts'
import { installSlot, launcherText, readSlots, type SlotsView, switchSlot } from '../../src/agent/slots/slots.ts'
import { systemFiles } from '../../src/host/files.ts'
import { type CommandResult, HELIO, temporaryDir, wipe } from './cluster.ts'
import { waitUntil } from './waiting.ts'

const DIST = process.env['HELIO_TEST_DIST'] ?? dirname(HELIO)
const files = { files: systemFiles }

/** Programs do not report to the test's runner, and take no variables of tests (HELIO_DRAW) for options of theirs. */
const environment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => name !== 'NODE_OPTIONS' && !name.startsWith('HELIO_')))

/** What a version does when it is started as a role; as any other command it is the built program. */
export const KINDS = {
  good: '',
  ends: 'if (/^(agent|server)$/.test(process.argv[2])) process.exit(3)\n',
  hangs: "if (process.argv[2] === 'agent') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)\n",
} as const
export type Kind = keyof typeof KINDS

export interface Supervisor {
  /** Starts so far. */
  starts(): number
  pid(): number
  stderr(): string
  /** SIGTERM; it is started again. */
  restart(): void
  /** SIGKILL to it and whoever shares its process group, and no more starts. Settles when it is gone. */
  cut(): Promise<void>
  /** SIGTERM, and no more starts. */
  stop(): Promise<void>
}

export interface SlotDevice {
  readonly dir: string
  readonly dataDir: string
  /** The launcher. */
  readonly launcher: string
  readonly nodeName: string
  /** A file to upgrade to. */
  program(kind: Kind, version: string): string
  helio(...args: string[]): Promise<CommandResult>
  /** An upgrade of its own process group; `onNote` sees standard error as it grows. */
  upgrade(file: string, ...flags: string[]): { readonly child: ChildProcess; readonly ended: Promise<CommandResult>; stderr(): string }
  /** The agent; or another role with all its flags. */
  supervise(...role: string[]): Supervisor
  slots(): SlotsView
  /** Pid of the one pod's process, once it runs. */
  podPid(): Promise<number>
  remove(): Promise<void>
}

const started = (command: string, args: readonly string[]) => {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: environment() })
  const text = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', chunk => {
      text[name] = (text[name] + chunk).slice(-100_000)
    })
  const ended = new Promise<CommandResult>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', code => resolve({ code: code ?? 128, ...text }))
  })
  return { child, ended, stderr: () => text.stderr }
}

/** SIGKILL to a process group. */
export const cutGroup = (pid: number): void => {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

const supervise = (launcher: string, args: readonly string[]): Supervisor => {
  const state: { run: ReturnType<typeof started>; starts: number; over: boolean; stderr: string } = {
    run: started(launcher, args),
    starts: 1,
    over: false,
    stderr: '',
  }
  const gone = (async () => {
    for (;;) {
      const { stderr } = await state.run.ended
      state.stderr += stderr
      if (state.over) return
      state.run = started(launcher, args)
      state.starts++
    }
  })()
  return {
    starts: () => state.starts,
    pid: () => state.run.child.pid!,
    stderr: () => state.stderr + state.run.stderr(),
    restart: () => void state.run.child.kill('SIGTERM'),
    async cut() {
      state.over = true
      cutGroup(state.run.child.pid!)
      await gone
    },
    async stop() {
      state.over = true
      state.run.child.kill('SIGTERM')
      await gone
    },
  }
}

const POD = `apiVersion: v1
kind: Pod
metadata: {name: keeps}
spec:
  containers:
  - {name: main, image: "heliopause.local/keeps:1", command: [sleep, "100000"]}
`

/** `version` of `kind` in a folder of its own, with the addon. */
const writeProgram = (folder: string, kind: Kind, version: string): string => {
  cpSync(DIST, folder, { recursive: true })
  const file = join(folder, 'helio')
  const [first = '', ...rest] = readFileSync(file, 'utf8').split('\n')
  // The version is a text of the bundle; the comment makes each kind another file.
  writeFileSync(file, [first, `// ${kind}`, KINDS[kind] + rest.join('\n').replaceAll('0.1.0', version)].join('\n'))
  chmodSync(file, 0o755)
  return file
}

/** Control groups of these pods, innermost first. */
const cgroupsOf = (uids: readonly string[]): string[] => {
  const roots = ['/sys/fs/cgroup', ...readdirSync('/sys/fs/cgroup').map(name => join('/sys/fs/cgroup', name))]
  return roots
    .flatMap(root => uids.map(uid => join(root, 'helio', uid)))
    .filter(folder => existsSync(folder))
    .flatMap(folder => {
      const below = readdirSync(folder, { withFileTypes: true }).filter(entry => entry.isDirectory())
      return [...below.map(entry => join(folder, entry.name)), folder]
    })
}

/** A group is busy until its killed process is gone. */
const isRemoved = (folder: string): boolean => {
  try {
    rmdirSync(folder)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error) return error.code === 'ENOENT'
    throw error
  }
}

/** A device with version 1.0.0 in slot a and one pod to run. Its data folder has a blank in its name. */
export const makeDevice = async (): Promise<SlotDevice> => {
  const dir = temporaryDir()
  const dataDir = join(dir, 'data dir')
  const launcher = join(dir, 'helio')
  // Uids of its pods come of it, and devices of several tests run at once.
  const nodeName = basename(dir).toLowerCase()
  const program = (kind: Kind, version: string): string => writeProgram(join(dir, 'programs', `${kind}-${version}`), kind, version)
  const about = { version: '1.0.0', target: targetOf(process.arch) }
  const { slot } = await installSlot(files, dataDir, { file: program('good', '1.0.0'), ...about })
  switchSlot(files, dataDir, slot)
  writeFileSync(launcher, launcherText({ dataDir }), { mode: 0o755 })
  mkdirSync(join(dataDir, 'preload'))
  appendFileSync(join(dataDir, 'preload', 'keeps.yaml'), POD)
  const helio = (...args: string[]): Promise<CommandResult> => started(launcher, args).ended
  await writeImage(join(dir, 'image.tar'), { name: 'heliopause.local/keeps:1' })
  const imported = await helio('image', 'import', join(dir, 'image.tar'), '--data-dir', dataDir)
  if (imported.code !== 0) throw new Error(imported.stderr)
  return {
    dir,
    dataDir,
    launcher,
    nodeName,
    program,
    helio,
    upgrade: (file, ...flags) => started(launcher, ['upgrade', '--file', file, '--data-dir', dataDir, '--allow-unsigned', ...flags]),
    supervise: (role = 'agent', ...flags) =>
      supervise(launcher, [role, '--data-dir', dataDir, '--runtime', 'process', '--node-name', nodeName, ...flags]),
    slots: () => readSlots(files, dataDir),
    async podPid() {
      const found = { pid: 0 }
      await waitUntil('the pod runs', async () => {
        const { code, stdout } = await helio('device', 'pods', '-o', 'json', '--data-dir', dataDir)
        if (code !== 0) return false
        const [pod] = (JSON.parse(stdout) as { items: { containers: { pid: number | null }[] }[] }).items
        found.pid = pod?.containers[0]?.pid ?? 0
        return found.pid !== 0
      })
      return found.pid
    },
    async remove() {
      const pods = join(dataDir, 'pods')
      const cgroups = existsSync(pods) ? cgroupsOf(readdirSync(pods)) : []
      wipe(dataDir)
      rmSync(dir, { recursive: true, force: true })
      for (const folder of cgroups) await waitUntil(`nothing is left in ${folder}`, async () => isRemoved(folder))
    },
  }
}
