// A container as the runtime needs it, from pod, image and surroundings. Pure: either a complete spec or the reason why there is none
// yet. Source: k8s core/v1 Container and SecurityContext, OCI image-spec config.

import type { Container, Pod } from '../kinds/pod.ts'
import { quantityBytes, quantityMillis } from '../kinds/quantity.ts'
import type { ContainerSpec, Mount } from '../runtime/runtime.ts'
import { runAs } from './accounts.ts'
import { containerLogPath, type Device, etcDir, hostnameOf, nameOf, namespaceOf, podDir, type Surroundings, volumeDir } from './device.ts'
import { type ConfigProblem, environment, expand, isProblem } from './env.ts'
import type { Image } from './images/images.ts'
import type { Waiting } from './pod-record.ts'

/** What containers get without asking: the set Docker and containerd give. */
const DEFAULT_CAPABILITIES =
  'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT'.split(' ')
const ALL_CAPABILITIES = [
  ...DEFAULT_CAPABILITIES,
  ...(
    'AUDIT_CONTROL AUDIT_READ BLOCK_SUSPEND BPF CHECKPOINT_RESTORE DAC_READ_SEARCH IPC_LOCK IPC_OWNER LEASE LINUX_IMMUTABLE ' +
    'MAC_ADMIN MAC_OVERRIDE NET_ADMIN NET_BROADCAST PERFMON SYS_ADMIN SYS_BOOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO ' +
    'SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM'
  ).split(' '),
]

/** A mount whose source lies inside a volume at a path from the manifest: checked against escapes when it is made. */
export interface SubPath {
  /** Index into spec.mounts. */
  readonly mount: number
  readonly root: string
  readonly subPath: string
}

export interface StartPlan {
  readonly spec: ContainerSpec
  readonly subPaths: readonly SubPath[]
  /** File for the termination message, one of the mounts' sources. */
  readonly terminationLog: string
}

const bare = (capability: string): string => capability.toUpperCase().replace(/^CAP_/, '')

export const capabilities = (container: Container): string[] => {
  const context = container.securityContext ?? {}
  if (context.privileged) return [...ALL_CAPABILITIES].sort()
  const add = (context.capabilities?.add ?? []).map(bare)
  const drop = new Set((context.capabilities?.drop ?? []).map(bare))
  const base = drop.has('ALL') ? [] : DEFAULT_CAPABILITIES
  const given = new Set([...base.filter(c => !drop.has(c)), ...(add.includes('ALL') ? ALL_CAPABILITIES.filter(c => !drop.has(c)) : add)])
  return [...given].sort()
}

const seccompOf = (pod: Pod, container: Container): ContainerSpec['seccomp'] | ConfigProblem => {
  if (container.securityContext?.privileged) return 'Unconfined'
  const profile = container.securityContext?.seccompProfile ?? pod.spec.securityContext?.seccompProfile
  if (profile?.type === 'Localhost') return { problem: 'seccomp profile type Localhost is not offered on this device' }
  return profile?.type === 'Unconfined' ? 'Unconfined' : 'RuntimeDefault'
}

const cleanSubPath = (subPath: string): string | undefined => {
  const parts = subPath.split('/').filter(part => part !== '' && part !== '.')
  return subPath.startsWith('/') || parts.includes('..') ? undefined : parts.join('/')
}

const volumeSource = (pod: Pod, device: Device, name: string): string | undefined => {
  const volume = pod.spec.volumes?.find(v => v.name === name)
  if (!volume) return undefined
  return volume.hostPath ? volume.hostPath.path : volumeDir(device, pod.metadata.uid ?? '', name)
}

interface Mounts {
  readonly mounts: readonly Mount[]
  readonly subPaths: readonly SubPath[]
}

const volumeMounts = (pod: Pod, container: Container, device: Device, env: ReadonlyMap<string, string>): Mounts | ConfigProblem => {
  const mounts: Mount[] = []
  const subPaths: SubPath[] = []
  for (const mount of container.volumeMounts ?? []) {
    const root = volumeSource(pod, device, mount.name)
    if (root === undefined) return { problem: `cannot find volume "${mount.name}" to mount into container "${container.name}"` }
    const asked = mount.subPathExpr ? expand(mount.subPathExpr, name => env.get(name)) : (mount.subPath ?? '')
    const subPath = cleanSubPath(asked)
    if (subPath === undefined) return { problem: `failed to prepare subPath for volumeMount "${mount.name}": it leaves the volume` }
    if (subPath !== '') subPaths.push({ mount: mounts.length, root, subPath })
    const volume = pod.spec.volumes?.find(v => v.name === mount.name)
    const written = volume?.configMap ?? volume?.secret ?? volume?.downwardAPI ?? volume?.projected
    const destination = mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`
    mounts.push({
      source: subPath === '' ? root : `${root}/${subPath}`,
      destination,
      readOnly: mount.readOnly === true || written !== undefined,
    })
  }
  return { mounts, subPaths }
}

/** /etc files of the pod, unless the container mounts something there itself. */
const etcMounts = (pod: Pod, device: Device, taken: readonly Mount[]): Mount[] =>
  ['hosts', 'hostname', 'resolv.conf']
    .filter(file => !taken.some(mount => mount.destination === `/etc/${file}`))
    .map(file => ({ source: `${etcDir(device, pod.metadata.uid ?? '')}/${file}`, destination: `/etc/${file}`, readOnly: false }))

const terminationMount = (container: Container, source: string, device: Device): Mount[] => {
  const destination = container.terminationMessagePath ?? '/dev/termination-log'
  return destination.startsWith('/dev/') && device.sharesDev ? [] : [{ source, destination, readOnly: false }]
}

const argsOf = (container: Container, image: Image, env: ReadonlyMap<string, string>): readonly string[] => {
  const text = (word: string): string => expand(word, name => env.get(name))
  const command = container.command?.length ? container.command.map(text) : undefined
  const args = container.args?.length ? container.args.map(text) : undefined
  if (command) return [...command, ...(args ?? [])]
  return [...image.config.entrypoint, ...(args ?? image.config.cmd)]
}

const resourcesOf = (container: Container): ContainerSpec['resources'] => {
  const { limits = {}, requests = {} } = container.resources ?? {}
  const memory = quantityBytes(limits['memory'])
  const cpu = quantityMillis(limits['cpu'])
  const cpuRequest = quantityMillis(requests['cpu'] ?? limits['cpu'])
  return {
    ...(memory > 0 ? { memoryBytes: memory } : {}),
    ...(cpu > 0 ? { cpuLimitMillis: cpu } : {}),
    ...(cpuRequest > 0 ? { cpuRequestMillis: cpuRequest } : {}),
  }
}

const waitFor = (problem: ConfigProblem): { waiting: Waiting } => ({
  waiting: { reason: 'CreateContainerConfigError', message: problem.problem },
})

const missingImage = (container: Container): { waiting: Waiting } => {
  const image = container.image ?? ''
  return container.imagePullPolicy === 'Never'
    ? { waiting: { reason: 'ErrImageNeverPull', message: `Container image "${image}" is not present with pull policy of Never` } }
    : { waiting: { reason: 'ImagePullBackOff', message: `image "${image}" is not on this device: bring it with 'helio image import'` } }
}

/** The complete spec of the next attempt, or the reason why it cannot be started now. */
export const startPlan = (
  pod: Pod,
  container: Container,
  at: { readonly init: boolean; readonly attempt: number; readonly address: string | undefined },
  device: Device,
  around: Surroundings,
): StartPlan | { readonly waiting: Waiting } => {
  const image = device.resolveImage(container.image ?? '')
  if (!image) return missingImage(container)
  const hostname = hostnameOf(pod)
  const env = environment(pod, container, image.config.env, around, { device, address: at.address, hostname })
  if (isProblem(env)) return waitFor(env)
  const user = runAs(pod, container, image.config.user, device.accounts(image))
  if (isProblem(user)) return waitFor(user)
  const seccomp = seccompOf(pod, container)
  if (typeof seccomp !== 'string') return waitFor(seccomp)
  const volumes = volumeMounts(pod, container, device, env.own)
  if (isProblem(volumes)) return waitFor(volumes)
  const args = argsOf(container, image, env.own)
  if (args.length === 0) return { waiting: { reason: 'CreateContainerError', message: 'no command specified' } }
  const uid = pod.metadata.uid ?? ''
  const context = container.securityContext ?? {}
  const terminationLog = `${podDir(device, uid)}/termination/${container.name}.${at.attempt}`
  const spec: ContainerSpec = {
    podUid: uid,
    namespace: namespaceOf(pod),
    podName: nameOf(pod),
    name: container.name,
    attempt: at.attempt,
    init: at.init,
    image: container.image ?? '',
    imageID: image.id,
    layers: image.layers,
    args,
    env: env.all.some(e => e.startsWith('HOME=')) ? env.all : [...env.all, `HOME=${user.home ?? (user.uid === 0 ? '/root' : '/')}`],
    cwd: container.workingDir || image.config.workingDir || '/',
    uid: user.uid,
    gid: user.gid,
    supplementalGroups: user.supplementalGroups,
    mounts: [...volumes.mounts, ...etcMounts(pod, device, volumes.mounts), ...terminationMount(container, terminationLog, device)],
    readOnlyRootfs: context.readOnlyRootFilesystem === true,
    privileged: context.privileged === true,
    allowPrivilegeEscalation: context.privileged === true || (context.allowPrivilegeEscalation ?? true),
    capabilities: capabilities(container),
    seccomp,
    resources: resourcesOf(container),
    tty: container.tty === true,
    ...(image.config.stopSignal === '' ? {} : { stopSignal: image.config.stopSignal }),
    logPath: containerLogPath(device, { namespace: namespaceOf(pod), name: nameOf(pod), uid }, container.name, at.attempt),
    hostname,
  }
  return { spec, subPaths: volumes.subPaths, terminationLog }
}
