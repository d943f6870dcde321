// helio install: this program into a slot of the data folder, with launcher, configuration and service, on this machine or below the root
// of another. Idempotent, and whole after a cut at any point: see src/host/install/.

import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { digestOf } from './agent/slots/program-copy.ts'
import { TRIAL_TIMES } from './agent/slots/slot-state.ts'
import { installSlot, launcherText, lockSlots, readSlots, removeLeftovers, slotsDir, switchSlot } from './agent/slots/slots.ts'
import { ApiError } from './base/errors.ts'
import type { Role } from './base/role-options.ts'
import type { InstallRequest, InstallResult, InstallStep, Tell } from './cli/install-shapes.ts'
import { systemClock } from './host/clock.ts'
import { systemExec } from './host/exec.ts'
import { systemFiles } from './host/files.ts'
import { carryOut, compare, digestsOf, makeFolders, missingFolders } from './host/install/carry-out.ts'
import { type Configuration, configurationOf } from './host/install/configuration.ts'
import { JOIN_MS_MAX } from './host/install/limits.ts'
import {
  type InitSystem,
  type Installation,
  intended,
  manifestPath,
  manifestText,
  parseManifest,
  settled,
} from './host/install/manifest.ts'
import { commandsOf, configPath, type InstallPlan, PROGRAM, planOf, SEED_PATH } from './host/install/plan.ts'
import { command, detectInit, isActive, startService, systemdRuns, systemdVersion, waitFor } from './host/install/service.ts'
import { openTree, type Tree } from './host/install/tree.ts'
import { DATA_DIR_DEFAULT } from './main-options.ts'
import { programFacts } from './main-version.ts'

const SLOTS = { files: systemFiles }
/** Where services find programs. */
const SERVICE_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
const SEED_ELSEWHERE = ['/boot/firmware/heliopause-seed.yaml', '/boot/heliopause-seed.yaml']
const TOKEN_LEFT = /^token: helio1\./m

/** Writing to this machine's folders is for root. */
export const requireRoot = (what: string, root: string): void => {
  if (root !== '/' || process.getuid?.() === 0) return
  throw new ApiError('Forbidden', `${what}: only root may change this machine`, {
    hint: `sudo helio ${what}, or --dry-run to see what it would do, or --root DIR for another tree`,
  })
}

/** The manifest of this data folder; undefined where nothing, or nothing legible, is. */
export const readManifest = (tree: Tree, dataDir: string): Installation | undefined => parseManifest(tree.read(manifestPath(dataDir)) ?? '')

/** The file of the program that runs. A bundle's addon lies beside it. */
const ownFile = (packaged: boolean): string => {
  if (!packaged) return realpathSync(process.argv[1] ?? '')
  return existsSync('/proc/self/exe') ? '/proc/self/exe' : process.execPath
}

const roleOf = (tree: Tree, { role, flags, config }: InstallRequest): Role => {
  if (role !== undefined) return role
  const there = (['server', 'agent'] as const).filter(each => tree.exists(configPath(each)))
  if (there.length === 1 && there[0] !== undefined) return there[0]
  if (flags['server'] !== undefined || flags['token'] !== undefined || flags['seed'] !== undefined) return 'agent'
  const kind = config === undefined ? undefined : /^kind: *(Server|Agent)Configuration/m.exec(systemFiles.read(config) ?? '')?.[1]
  if (kind !== undefined) return kind === 'Server' ? 'server' : 'agent'
  throw new ApiError('BadRequest', 'install: what shall this machine be?', {
    hint: '--role server, or --role agent --server URL --token TOKEN',
  })
}

const configurationFor = (tree: Tree, role: Role, { config, flags }: InstallRequest): Configuration => {
  const base = config === undefined ? tree.read(configPath(role)) : systemFiles.read(config)
  if (config !== undefined && base === undefined) throw new ApiError('BadRequest', `configuration: there is no file ${config}`)
  return configurationOf(role, base, flags)
}

/** What would make the installed role fail, found before anything is written. */
const refuseNonsense = (tree: Tree, request: InstallRequest, role: Role, { token, dataDir, values }: Configuration): void => {
  const other = role === 'server' ? 'agent' : 'server'
  const isBoth = role === 'agent' ? !/^noAgent: true/m.test(tree.read(configPath('server')) ?? '') : values['noAgent'] !== true
  if (tree.exists(configPath(other)) && isBoth)
    throw new ApiError('Conflict', `install: a ${other} is installed here, and a server brings its own agent`, {
      hint: `helio uninstall first, or install the server with --no-agent`,
    })
  const before = readManifest(tree, dataDir)
  const elsewhere = tree.read(PROGRAM)
  if (
    before === undefined &&
    elsewhere !== undefined &&
    elsewhere.startsWith('#!/bin/sh') &&
    !elsewhere.includes(`'${dataDir}/slots'`) &&
    tree.exists(configPath(role))
  )
    throw new ApiError('Conflict', `install: ${role} is installed here with another data folder`, {
      hint: 'helio uninstall --data-dir THAT first',
    })
  if (role !== 'agent') return
  const seed = SEED_ELSEWHERE.find(path => tree.exists(path))
  if (token !== undefined && seed !== undefined)
    throw new ApiError('Conflict', `install: ${seed} names a server already`, { hint: 'give no --token, or remove that file' })
  const canBegin =
    ['agent.db', 'preload'].some(name => tree.exists(`${dataDir}/${name}`)) || [...SEED_ELSEWHERE, SEED_PATH].some(tree.exists)
  if (token === undefined && !canBegin && values['seed'] === undefined && request.root === '/' && request.start)
    throw new ApiError('BadRequest', 'install: this device has never joined a server and has nothing to join with', {
      hint: '--server https://HOST:6443 --token TOKEN (cat DIR/join-token on the server), or put a seed on the boot partition, or --no-start',
    })
  if (token !== undefined && values['server'] === undefined)
    throw new ApiError('BadRequest', 'install: a token without a server', { hint: 'add --server https://HOST:6443' })
}

const requireInterpreter = (tree: Tree, packaged: boolean): void => {
  if (packaged || SERVICE_PATH.some(dir => tree.exists(`${dir}/node`))) return
  throw new ApiError('BadRequest', `install: no Node.js in ${SERVICE_PATH.join(':')}, where services look`, {
    hint: 'install the packaged executable (build/helio-linux-…), which needs none, or link node to /usr/local/bin',
  })
}

interface Prepared {
  readonly tree: Tree
  readonly role: Role
  readonly init: InitSystem
  readonly dataDir: string
  /** The data folder where it really lies. */
  readonly realDataDir: string
  readonly plan: InstallPlan
  readonly program: { readonly file: string; readonly sha256: string; readonly version: string; readonly target: string }
  readonly programIs: InstallStep['state']
  readonly startsPods: boolean
  readonly hasToken: boolean
}

const prepare = async (request: InstallRequest): Promise<Prepared> => {
  const tree = openTree(resolve(request.root))
  const role = roleOf(tree, request)
  const configuration = configurationFor(tree, role, request)
  const { dataDir, token, values } = configuration
  refuseNonsense(tree, request, role, configuration)
  const facts = request.program === undefined ? await programFacts() : { ...request.program, packaged: true }
  requireInterpreter(tree, facts.packaged)
  const file = request.program?.file ?? ownFile(facts.packaged)
  const { sha256 } = await digestOf(file)
  const realDataDir = tree.real(dataDir)
  const slots = readSlots(SLOTS, realDataDir)
  const installed = slots.current === undefined ? undefined : slots.slots[slots.current]
  const init = request.init ?? readManifest(tree, dataDir)?.init ?? detectInit(tree)
  const startsPods = role === 'agent' || values['noAgent'] !== true
  const names = (path: string): readonly string[] => (tree.exists(path) ? readdirSync(tree.real(path)) : [])
  const plan = planOf({
    role,
    init,
    dataDir,
    startsPods,
    configText: configuration.text,
    seed: token === undefined ? undefined : { server: values['server'] as string | undefined, token },
    launcher: launcherText({ dataDir }),
    systemdVersion: init === 'systemd' ? await systemdVersion({ exec: systemExec }, tree, names) : 0,
    hasRunLevels: tree.exists('/etc/rc2.d'),
    canNotify: ['/usr/bin', '/bin'].some(dir => tree.exists(`${dir}/systemd-notify`)),
  })
  const programIs = installed?.runnable !== true ? 'new' : installed.about?.sha256 === sha256 ? 'unchanged' : 'changed'
  if (programIs === 'changed' && slots.trial !== undefined)
    throw new ApiError('Conflict', `install: version ${slots.trial.version} is on trial`, { hint: 'wait for it: helio upgrade status' })
  const program = { file, sha256, version: facts.version, target: facts.target }
  return { tree, role, init, dataDir, realDataDir, plan, program, programIs, startsPods, hasToken: token !== undefined }
}

/** Another program than the installed one goes on trial, as an upgrade does; a first one, or one in an image, is good at once. */
const placeProgram = async ({ realDataDir, program, programIs, tree }: Prepared, tell: Tell): Promise<void> => {
  const dir = slotsDir(realDataDir)
  const isLeft = existsSync(dir) && readdirSync(dir).some(name => /\.(new|old|tmp)$/.test(name))
  if (programIs === 'unchanged' && !isLeft) return
  const lock = lockSlots(realDataDir)
  try {
    // On trial: what lies there may be in use.
    if (readSlots(SLOTS, realDataDir).trial === undefined) removeLeftovers(realDataDir)
    if (programIs === 'unchanged') return
    const { current, starts, slots } = readSlots(SLOTS, realDataDir)
    // A run before this one was cut off between placing it and choosing it.
    if (current === undefined && starts !== undefined && slots[starts].about?.sha256 === program.sha256)
      return switchSlot(SLOTS, realDataDir, starts)
    const onProgress = (done: number, total: number): void =>
      tell(`copying the program… ${Math.floor((done * 100) / Math.max(1, total))} %`)
    const { slot } = await installSlot(SLOTS, realDataDir, { ...program, onProgress })
    switchSlot(SLOTS, realDataDir, slot, programIs === 'changed' && tree.root === '/' ? TRIAL_TIMES : undefined)
  } finally {
    lock.release()
  }
}

/** Writes what differs, the manifest around it; answers whether anything did. */
const write = async (prepared: Prepared, tell: Tell): Promise<void> => {
  const { tree, plan, dataDir, role, init, program } = prepared
  const before = readManifest(tree, dataDir)
  const missing = missingFolders(tree, plan)
  // The manifest lies in the first of them.
  for (const [path, mode] of plan.folders.slice(0, 1)) tree.makeFolder(path, mode)
  const now = { version: program.version, init, roles: [role], files: digestsOf(plan), links: plan.links, folders: missing }
  const put = (installation: Installation): void => {
    const path = manifestPath(dataDir)
    tree.clearLeftovers(path)
    if (tree.read(path) === manifestText(installation)) return
    tree.write(path, manifestText(installation), 0o644)
  }
  put(intended(before, now))
  makeFolders(tree, plan)
  await placeProgram(prepared, tell)
  carryOut(tree, plan)
  put(settled(before, now))
}

const start = async (prepared: Prepared, again: boolean, signal: AbortSignal, tell: Tell): Promise<InstallResult['service']> => {
  const { init, role, tree, dataDir, startsPods, hasToken } = prepared
  const deps = { exec: systemExec, clock: systemClock, signal }
  tell(`starting the ${role}…`)
  const ready = `${dataDir}/${startsPods ? 'agent.sock' : 'kubeconfig'}`
  await startService(deps, { init, role, again, ready })
  if (role !== 'agent' || !hasToken) return 'ready'
  tell('ready; joining the server…')
  const joined = await waitFor(deps, JOIN_MS_MAX, async () => !TOKEN_LEFT.test(tree.read(SEED_PATH) ?? ''))
  return joined ? 'joined' : 'ready'
}

const nextOf = ({ role, dataDir, tree, init, hasToken }: Prepared, service: InstallResult['service']): readonly string[] => {
  const where = dataDir === DATA_DIR_DEFAULT ? '' : ` --data-dir ${dataDir}`
  const commands = commandsOf(init, role)
  if (service === 'not started')
    return tree.root === '/' ? [`start it: ${commands.start.join(' ')}`] : ['it starts when a machine boots from this tree']
  const common = `its log: ${commands.log}`
  if (role === 'server')
    return [
      `look at it: helio get nodes${where}`,
      `with kubectl: export KUBECONFIG=${dataDir}/kubeconfig`,
      `add a device: helio install --server https://THIS-HOST:6443 --token TOKEN there; the token: cat ${dataDir}/join-token`,
      common,
    ]
  return [
    ...(service === 'ready' && hasToken ? [`it has not reached its server yet and keeps trying; why: helio device doctor${where}`] : []),
    `look at it: helio device status${where}`,
    common,
  ]
}

const canStart = (init: InitSystem): boolean => init !== 'systemd' || systemdRuns()

/** Installs, or says what installing would do. Rejects with one line and a hint; run again it goes on where it was cut off. */
export const installHere = async (
  request: InstallRequest,
  { signal, tell }: { signal: AbortSignal; tell: Tell },
): Promise<InstallResult> => {
  if (!request.dryRun) requireRoot('install', resolve(request.root))
  // Folders get their modes as they are made, whatever the mask of the caller's shell.
  process.umask(0o022)
  const prepared = await prepare(request)
  const { tree, role, init, dataDir, plan, programIs, program } = prepared
  const differences = compare(tree, plan)
  const programStep: InstallStep = {
    do: 'program',
    what: `${dataDir}/slots`,
    state: programIs,
    note: `version ${program.version}, SHA-256 ${program.sha256.slice(0, 12)}…${programIs === 'changed' ? ', on trial' : ''}`,
  }
  const folders = differences.filter(each => each.do === 'folder')
  const rest = differences.filter(each => each.do !== 'folder')
  const changed = [...differences, programStep].some(each => each.state !== 'unchanged')
  const starts = request.start && tree.root === '/' && canStart(init)
  const commands = commandsOf(init, role)
  const active = starts && (await isActive({ exec: systemExec }, init, role))
  const runs = starts
    ? [
        ...(changed && commands.reload.length > 0 ? [commands.reload] : []),
        ...(active && !changed ? [] : [active ? commands.restart : commands.start]),
      ]
    : []
  if (!request.dryRun) await write(prepared, tell)
  const act = async (): Promise<InstallResult['service']> => {
    if (!starts || request.dryRun) return 'not started'
    if (changed && commands.reload.length > 0) await command({ exec: systemExec }, commands.reload, `see ${commands.log}`)
    return active && !changed ? 'ready' : start(prepared, active, signal, tell)
  }
  const service = await act()
  return {
    role,
    root: tree.root,
    dataDir,
    init,
    dryRun: request.dryRun,
    changed,
    steps: [...folders, programStep, ...rest, ...runs.map(words => ({ do: 'run', what: words.join(' '), state: 'done' }) as const)],
    service,
    next: request.dryRun ? [] : nextOf(prepared, service),
  }
}
