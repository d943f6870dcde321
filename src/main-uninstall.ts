// helio uninstall: takes back what installing wrote, and says what it leaves. Pods go on running unless they are to end; a file that
// somebody changed is kept and named. The manifest goes last, so that a run that was cut off can be run again.

import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { slotsDir } from './agent/slots/slots.ts'
import { ApiError } from './base/errors.ts'
import type { Role } from './base/role-options.ts'
import type { InstallStep, Tell, UninstallRequest, UninstallResult } from './cli/install-shapes.ts'
import { systemClock } from './host/clock.ts'
import { systemExec } from './host/exec.ts'
import { configurationOf } from './host/install/configuration.ts'
import { POD_GRACE_MS_MAX } from './host/install/limits.ts'
import { type Installation, manifestPath } from './host/install/manifest.ts'
import { commandsOf, configPath } from './host/install/plan.ts'
import { command, isActive } from './host/install/service.ts'
import { digestOf, openTree, type Tree } from './host/install/tree.ts'
import { jsonLog } from './host/log.ts'
import { readManifest, requireRoot } from './main-install.ts'
import { createNetwork } from './network/index.ts'
import { detectCgroupLayout, removeCgroup } from './runtime/cgroup.ts'
import { selectRuntime } from './runtime/index.ts'
import { mountsUnder, unmountUnder } from './runtime/mounts.ts'
import type { Runtime } from './runtime/runtime.ts'

const CGROUP_ROOT = '/helio'

const runtimeNameOf = (tree: Tree, roles: readonly Role[]): 'auto' | 'crun' | 'process' => {
  for (const role of roles) {
    const text = tree.read(configPath(role))
    const name = text === undefined ? undefined : configurationOf(role, text, {}).values['runtime']
    if (name === 'crun' || name === 'process') return name
  }
  return 'auto'
}

/** The runtime of this data folder, opened only where it has ever run. */
const openRuntime = async (tree: Tree, dataDir: string, roles: readonly Role[]): Promise<Runtime | undefined> => {
  const dir = join(dataDir, 'run')
  if (tree.root !== '/' || !existsSync(dir)) return undefined
  return selectRuntime(runtimeNameOf(tree, roles), { exec: systemExec, clock: systemClock, log: jsonLog('error'), dir })
}

/** Ends every pod, and takes away its mounts, groups, links and tables. */
const endPods = async (runtime: Runtime, dataDir: string, tell: Tell): Promise<void> => {
  const { containers, sandboxes } = await runtime.inspect()
  tell(`ending ${sandboxes.length} pods…`)
  await Promise.all(containers.filter(each => each.state !== 'exited').map(each => runtime.stopContainer(each.id, POD_GRACE_MS_MAX)))
  for (const { id } of containers) await runtime.removeContainer(id)
  for (const { uid } of sandboxes) await runtime.removeSandbox(uid)
  await createNetwork({ exec: systemExec, log: jsonLog('error'), instance: dataDir }, runtime).remove()
  await unmountUnder(systemExec, dataDir)
}

/** Monitors end a moment after their containers: a group that is still busy is tried again. */
const removeGroups = async (): Promise<void> => {
  const layout = detectCgroupLayout()
  const there = (): boolean => [...new Set(layout.mounts.values())].some(mount => existsSync(join(mount, CGROUP_ROOT)))
  for (let left = 20; left > 0 && there(); left--) {
    removeCgroup(layout, CGROUP_ROOT)
    if (there()) await systemClock.sleep(100)
  }
}

type Remove = (dryRun: boolean) => InstallStep | undefined

/** A step for each link and file: removed, or kept and why; nothing for what is not there. */
const removals = (tree: Tree, { links, files }: Installation): readonly Remove[] => [
  ...[...links].reverse().map(
    ({ path, target }): Remove =>
      dryRun => {
        const found = tree.linkTarget(path)
        if (found === undefined) return undefined
        if (found !== target) return { do: 'keep', what: path, state: 'kept', note: `it leads to ${found}: not as it was installed` }
        if (!dryRun) tree.remove(path)
        return { do: 'remove', what: path, state: 'removed' }
      },
  ),
  ...[...files].reverse().map(
    ({ path, sha256 }): Remove =>
      dryRun => {
        if (!dryRun) tree.clearLeftovers(path)
        const text = tree.read(path)
        if (text === undefined) return undefined
        if (sha256.length > 0 && !sha256.includes(digestOf(text)))
          return { do: 'keep', what: path, state: 'kept', note: 'it was changed since it was installed' }
        if (!dryRun) tree.remove(path)
        return { do: 'remove', what: path, state: 'removed' }
      },
  ),
]

const stopServices = async (tree: Tree, { init, roles }: Installation, dryRun: boolean, tell: Tell): Promise<readonly InstallStep[]> => {
  const steps: InstallStep[] = []
  for (const role of tree.root === '/' ? roles : []) {
    if (!(await isActive({ exec: systemExec }, init, role))) continue
    const { stop } = commandsOf(init, role)
    tell(`stopping the ${role}…`)
    if (!dryRun) await command({ exec: systemExec }, stop, 'stop it yourself, then run this again')
    steps.push({ do: 'run', what: stop.join(' '), state: 'done' })
  }
  return steps
}

const reload = async (tree: Tree, { init, roles }: Installation, dryRun: boolean): Promise<readonly InstallStep[]> => {
  const words = roles[0] === undefined ? [] : commandsOf(init, roles[0]).reload
  if (tree.root !== '/' || words.length === 0 || systemExec.find(words[0] ?? '') === undefined || !existsSync('/run/systemd/system'))
    return []
  if (!dryRun) await command({ exec: systemExec }, words, 'run it yourself')
  return [{ do: 'run', what: words.join(' '), state: 'done' }]
}

const removeFolder = (tree: Tree, path: string, dryRun: boolean): InstallStep | undefined => {
  if (!tree.exists(path)) return undefined
  if (!dryRun) rmSync(tree.real(path), { recursive: true, force: true })
  return { do: 'remove', what: path, state: 'removed' }
}

const LOGS = (roles: readonly Role[]): readonly string[] => roles.map(role => `/var/log/heliopause-${role}.log`)

/** Folders nobody would want emptied, whatever a manifest in them says. */
const isWholeSystem = (dataDir: string): boolean => /^\/(|etc|usr|var|var\/lib|home|root|boot|opt|srv|tmp|run|mnt|media)\/?$/.test(dataDir)

const purge = async (tree: Tree, dataDir: string, roles: readonly Role[], dryRun: boolean): Promise<readonly InstallStep[]> => {
  const real = tree.real(dataDir)
  const mounts = (await mountsUnder(real)).filter(path => path !== real)
  if (mounts.length > 0 && !dryRun)
    throw new ApiError('Conflict', `uninstall --purge: ${mounts[0]} is mounted in the data folder`, {
      hint: 'umount it, then run this again',
    })
  const inside = tree.exists(dataDir) ? readdirSync(real).map(name => `${dataDir}/${name}`) : []
  // While the manifest is there, a purge that was cut off can be run again; a mount point stays, empty.
  const paths = [...LOGS(roles), ...inside.filter(path => path !== manifestPath(dataDir)), manifestPath(dataDir)]
  const steps = paths.flatMap(path => removeFolder(tree, path, dryRun) ?? [])
  if (!dryRun) tree.removeEmpty(dataDir)
  return steps.length > 0 ? [{ do: 'remove', what: dataDir, state: 'removed' }] : []
}

interface PodsDone {
  readonly steps: readonly InstallStep[]
  readonly running: number
}

const handlePods = async (
  tree: Tree,
  { dataDir, stopPods, dryRun }: UninstallRequest,
  roles: readonly Role[],
  tell: Tell,
): Promise<PodsDone> => {
  const runtime = await openRuntime(tree, dataDir, roles)
  if (runtime === undefined) return { steps: [], running: 0 }
  try {
    const { containers, sandboxes } = await runtime.inspect()
    const running = new Set(containers.filter(each => each.state === 'running').map(each => each.podUid)).size
    if (!stopPods && running > 0) return { steps: [], running }
    if (!dryRun) {
      await endPods(runtime, dataDir, tell)
      await removeGroups()
    }
    const what = `${sandboxes.length} pods, with their mounts, control groups, links and nft table`
    return { steps: sandboxes.length > 0 ? [{ do: 'remove', what, state: 'removed' }] : [], running: 0 }
  } finally {
    await runtime.close()
  }
}

/** What would be refused half-way is refused before anything is stopped. */
const refusePurge = async (tree: Tree, { dataDir, stopPods }: UninstallRequest, roles: readonly Role[]): Promise<void> => {
  if (isWholeSystem(dataDir))
    throw new ApiError('Forbidden', `uninstall --purge: ${dataDir} is a folder of the system`, { hint: 'remove what is in it yourself' })
  const runtime = stopPods ? undefined : await openRuntime(tree, dataDir, roles)
  const running = (await runtime?.inspect())?.containers.filter(each => each.state === 'running').length ?? 0
  await runtime?.close()
  if (running > 0)
    throw new ApiError('Conflict', `uninstall --purge: ${running} containers run from ${dataDir}`, {
      hint: 'end them too: add --stop-pods',
    })
}

/** Uninstalls, or says what uninstalling would do. Rejects with one line and a hint; run again it goes on. */
export const uninstallHere = async (request: UninstallRequest, { tell }: { tell: Tell }): Promise<UninstallResult> => {
  const { dataDir, dryRun } = request
  if (!dryRun) requireRoot('uninstall', resolve(request.root))
  const tree = openTree(resolve(request.root))
  const manifest = readManifest(tree, dataDir)
  const base = { root: tree.root, dataDir, dryRun }
  if (manifest === undefined) {
    // The last step of a purge, where a cut came before it.
    if (request.purge && !dryRun && tree.exists(dataDir)) tree.removeEmpty(dataDir)
    const strange = tree.exists(dataDir) ? [`${dataDir}: nothing says that helio install made it`] : []
    if (!tree.exists(manifestPath(dataDir))) return { ...base, steps: [], pods: 0, left: strange }
    throw new ApiError('Invalid', `uninstall: ${manifestPath(dataDir)} is damaged`, {
      hint: 'helio install writes it anew; then uninstall again',
    })
  }
  const { roles } = manifest
  if (request.purge) await refusePurge(tree, request, roles)
  const stopped = await stopServices(tree, manifest, dryRun, tell)
  const pods = await handlePods(tree, request, roles, tell)
  const removed = removals(tree, manifest).flatMap(each => each(dryRun) ?? [])
  const reloaded = await reload(tree, manifest, dryRun)
  const slots = removeFolder(tree, slotsDir(dataDir), dryRun) ?? []
  if (!dryRun) for (const path of [...manifest.folders].reverse()) if (path !== dataDir) tree.removeEmpty(path)
  if (!dryRun && !request.purge) tree.remove(manifestPath(dataDir))
  const purged = request.purge ? await purge(tree, dataDir, roles, dryRun) : []
  if (request.purge && !dryRun) for (const path of [...manifest.folders].reverse()) tree.removeEmpty(path)
  const steps = [...stopped, ...pods.steps, ...removed, ...reloaded, ...[slots].flat(), ...purged]
  return { ...base, steps, pods: pods.running, left: leftOf(tree, request, roles, pods.running, steps) }
}

const leftOf = (
  tree: Tree,
  { dataDir, purge: purges }: UninstallRequest,
  roles: readonly Role[],
  running: number,
  steps: readonly InstallStep[],
): readonly string[] => [
  ...steps.filter(each => each.state === 'kept').map(each => `${each.what}: ${each.note ?? 'kept'}`),
  ...(running > 0 ? [`${running} pods go on running, with nobody to look after them (--stop-pods ends them)`] : []),
  ...(purges || !tree.exists(dataDir) ? [] : [`${dataDir}: keys, state, images and logs (--purge removes it)`]),
  ...(purges
    ? []
    : LOGS(roles)
        .filter(path => tree.exists(path))
        .map(path => `${path}: the log`)),
  ...(tree.root === '/' && roles.length > 0 && systemExec.find('nft') !== undefined
    ? ['net.ipv4.ip_forward stays as it is: others may need it']
    : []),
]
