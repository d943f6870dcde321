// The few kubectl commands of the end-to-end tests, run by a stock kubectl or, where there is none, by @kubernetes/client-node:
// its own HTTP/2, its own discovery and its own typed reading of every answer, so a second opinion on the API.

import {
  ApiException,
  AppsV1Api,
  CoreV1Api,
  KubeConfig,
  KubernetesObjectApi,
  loadAllYaml,
  PatchStrategy,
  setHeaderOptions,
  type V1Deployment,
  type V1ReplicaSet,
  Watch,
} from '@kubernetes/client-node'
import { run } from './cluster.ts'

export interface Commands {
  /** Creates or patches each document; throws what the server says against it. */
  apply(text: string): Promise<string>
  /** One kubectl command line. With the JavaScript client `get` answers with the list as JSON, the rest with kubectl's words. */
  k(...args: string[]): Promise<string>
}

interface Line {
  readonly words: readonly string[]
  readonly flags: Readonly<Record<string, string>>
}
type Verb = (line: Line) => Promise<string>
type Kind = 'pod' | 'deployment' | 'namespace'
interface Listed<T> {
  readonly items: T[]
  readonly metadata?: { resourceVersion?: string }
}

/** How long a command that waits will wait when it is not told: a bound on a hang, not a claim on speed. */
const WAIT_SECONDS = 240

const KINDS: Readonly<Record<string, Kind>> = {
  pod: 'pod',
  pods: 'pod',
  deploy: 'deployment',
  deployment: 'deployment',
  namespace: 'namespace',
}
const REVISION = 'deployment.kubernetes.io/revision'
/** What belongs to the ReplicaSet or to the Deployment itself and does not travel with a template that is rolled back to. */
const OWN_ANNOTATIONS = [
  'kubectl.kubernetes.io/last-applied-configuration',
  'deployment.kubernetes.io/revision-history',
  'deployment.kubernetes.io/desired-replicas',
  'deployment.kubernetes.io/max-replicas',
  REVISION,
]

export const stockCommands = (kubectl: string, kubeconfig: string): Commands => {
  const command = async (args: readonly string[], input?: string): Promise<string> => {
    const result = await run(kubectl, ['--kubeconfig', kubeconfig, ...args], input)
    if (result.code !== 0) throw new Error(`${args.join(' ')}: ${result.stderr}`)
    return result.stdout
  }
  return { apply: text => command(['apply', '-f', '-'], text), k: (...args) => command(args) }
}

/** `a b/c -n x --y=z --w` → words `a b c`, flags `{n: x, y: z, w: ''}`. */
const parseLine = (args: readonly string[]): Line => {
  const words: string[] = []
  const flags: Record<string, string> = {}
  for (const [index, arg] of args.entries()) {
    if (args[index - 1] === '-n') flags['n'] = arg
    else if (arg.startsWith('--')) {
      const [name, value = ''] = arg.slice(2).split('=')
      flags[name!] = value
    } else if (arg !== '-n') words.push(...(arg.includes(':') ? [arg] : arg.split('/')))
  }
  return { words, flags }
}

const isNotFound = (error: unknown): boolean => error instanceof ApiException && error.code === 404

/** The server's own sentence in place of the exception's dump of headers and body. */
const explained = (error: unknown): unknown => {
  if (!(error instanceof ApiException) || typeof error.body !== 'string') return error
  const status = JSON.parse(error.body) as { reason?: string; message?: string }
  return new Error(`Error from server (${status.reason}): ${status.message}`, { cause: error })
}

/** Whether an event of the watch met the check before the watch ended; the server or the client may end it at any time. */
const seen = <T>(
  config: KubeConfig,
  path: string,
  query: Record<string, string | number | undefined>,
  check: (object: T | undefined) => boolean,
): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const watching = new Watch(config).watch(
      path,
      query,
      (type: string, object: T) => {
        if (type === 'BOOKMARK') return
        if (type !== 'ERROR' && !check(type === 'DELETED' ? undefined : object)) return
        resolve(type !== 'ERROR')
        watching.then(controller => controller.abort(), reject)
      },
      (error: unknown) => {
        if (error instanceof Error && error.name !== 'AbortError' && error.name !== 'TimeoutError') reject(error)
        else resolve(false)
      },
    )
    watching.catch(reject)
  })

/** Lists, then watches on from there, the one object that the list names, until the check is met by it or by its absence. */
const untilObject = async <T>(
  config: KubeConfig,
  path: string,
  name: string,
  list: (fieldSelector: string) => Promise<Listed<T>>,
  check: (object: T | undefined) => boolean,
): Promise<void> => {
  const start = performance.now()
  const fieldSelector = `metadata.name=${name}`
  while (performance.now() - start < WAIT_SECONDS * 1000) {
    const { items, metadata } = await list(fieldSelector)
    if (check(items[0])) return
    const query = { fieldSelector, resourceVersion: metadata?.resourceVersion, timeoutSeconds: WAIT_SECONDS }
    if (await seen(config, path, query, check)) return
  }
  throw new Error(`${path} ${name}: not within ${WAIT_SECONDS} s`)
}

/** kubectl's own rule, from the numbers of a status that has seen the latest spec. */
const isRolledOut = (deployment: V1Deployment | undefined): boolean => {
  const { metadata, spec, status } = deployment ?? {}
  if (!status || (status.observedGeneration ?? 0) < (metadata?.generation ?? 0)) return false
  const updated = status.updatedReplicas ?? 0
  return updated >= (spec?.replicas ?? 1) && (status.replicas ?? 0) <= updated && (status.availableReplicas ?? 0) >= updated
}

const revisionOf = (set: V1ReplicaSet): number => Number(set.metadata?.annotations?.[REVISION] ?? 0)

/** The JSON patch of `rollout undo`: the template of the revision before the latest, and the annotations that came with it. */
export const undoPatch = (deployment: V1Deployment, sets: readonly V1ReplicaSet[]): Record<string, unknown>[] => {
  const owned = sets.filter(set => set.metadata?.ownerReferences?.some(owner => owner.uid === deployment.metadata?.uid))
  const before = owned.toSorted((a, b) => revisionOf(b) - revisionOf(a))[1]
  if (!before) throw new Error(`no rollout history found for deployment "${deployment.metadata?.name}"`)
  const { 'pod-template-hash': _hash, ...labels } = before.spec?.template?.metadata?.labels ?? {}
  const pick = (from: Record<string, string> | undefined, own: boolean): [string, string][] =>
    Object.entries(from ?? {}).filter(([key]) => OWN_ANNOTATIONS.includes(key) === own)
  const annotations = Object.fromEntries([...pick(deployment.metadata?.annotations, true), ...pick(before.metadata?.annotations, false)])
  return [
    {
      op: 'replace',
      path: '/spec/template',
      value: { ...before.spec?.template, metadata: { ...before.spec?.template?.metadata, labels } },
    },
    { op: 'replace', path: '/metadata/annotations', value: annotations },
  ]
}

const patchAs = (strategy: PatchStrategy): ReturnType<typeof setHeaderOptions> => setHeaderOptions('Content-Type', strategy)

const verbsOf = (config: KubeConfig): Readonly<Record<string, Verb>> => {
  const core = config.makeApiClient(CoreV1Api)
  const apps = config.makeApiClient(AppsV1Api)
  const kindOf = (word: string | undefined): Kind => {
    const kind = KINDS[word ?? '']
    if (!kind) throw new Error(`the server doesn't have a resource type "${word}"`)
    return kind
  }
  const targetOf = ({ words, flags }: Line, at: number): { kind: Kind; name: string; namespace: string } => ({
    kind: kindOf(words[at]),
    name: words[at + 1] ?? '',
    namespace: flags['n'] ?? 'default',
  })
  const rollouts: Readonly<Record<string, Verb>> = {
    status: async line => {
      const { name, namespace } = targetOf(line, 2)
      const path = `/apis/apps/v1/namespaces/${namespace}/deployments`
      await untilObject(config, path, name, fieldSelector => apps.listNamespacedDeployment({ namespace, fieldSelector }), isRolledOut)
      return `deployment "${name}" successfully rolled out\n`
    },
    undo: async line => {
      const { name, namespace } = targetOf(line, 2)
      const deployment = await apps.readNamespacedDeployment({ name, namespace })
      const labelSelector = Object.entries(deployment.spec?.selector.matchLabels ?? {})
        .map(([key, value]) => `${key}=${value}`)
        .join(',')
      const { items } = await apps.listNamespacedReplicaSet({ namespace, labelSelector })
      await apps.patchNamespacedDeployment({ name, namespace, body: undoPatch(deployment, items) }, patchAs(PatchStrategy.JsonPatch))
      return `deployment.apps/${name} rolled back\n`
    },
  }
  return {
    async get(line) {
      const { kind, name, namespace } = targetOf(line, 1)
      if (kind === 'namespace') return JSON.stringify(await (name ? core.readNamespace({ name }) : core.listNamespace()))
      if (kind === 'pod')
        return JSON.stringify(await (name ? core.readNamespacedPod({ name, namespace }) : core.listNamespacedPod({ namespace })))
      return JSON.stringify(
        await (name ? apps.readNamespacedDeployment({ name, namespace }) : apps.listNamespacedDeployment({ namespace })),
      )
    },
    async delete(line) {
      const { kind, name, namespace } = targetOf(line, 1)
      const wait = line.flags['wait'] !== 'false'
      const isGone = (object: unknown): boolean => object === undefined
      if (kind === 'namespace') {
        await core.deleteNamespace({ name })
        if (wait) await untilObject(config, '/api/v1/namespaces', name, fieldSelector => core.listNamespace({ fieldSelector }), isGone)
      } else if (kind === 'pod') {
        await core.deleteNamespacedPod({ name, namespace })
        const path = `/api/v1/namespaces/${namespace}/pods`
        if (wait) await untilObject(config, path, name, fieldSelector => core.listNamespacedPod({ namespace, fieldSelector }), isGone)
      } else await apps.deleteNamespacedDeployment({ name, namespace })
      return `${kind} "${name}" deleted\n`
    },
    async scale(line) {
      const { name, namespace } = targetOf(line, 1)
      const body = { spec: { replicas: Number(line.flags['replicas']) } }
      await apps.patchNamespacedDeploymentScale({ name, namespace, body }, patchAs(PatchStrategy.MergePatch))
      return `deployment.apps/${name} scaled\n`
    },
    async set(line) {
      const { name, namespace } = targetOf(line, 2)
      const containers = line.words.slice(4).map(word => ({ name: word.split('=')[0], image: word.slice(word.indexOf('=') + 1) }))
      const body = { spec: { template: { spec: { containers } } } }
      await apps.patchNamespacedDeployment({ name, namespace, body }, patchAs(PatchStrategy.StrategicMergePatch))
      return `deployment.apps/${name} image updated\n`
    },
    async logs({ words, flags }) {
      const tail = flags['tail'] === undefined ? {} : { tailLines: Number(flags['tail']) }
      return core.readNamespacedPodLog({ name: words[1] ?? '', namespace: flags['n'] ?? 'default', ...tail })
    },
    rollout: line => {
      const verb = rollouts[line.words[1] ?? '']
      if (!verb) throw new Error(`unknown command "rollout ${line.words[1]}"`)
      return verb(line)
    },
  }
}

const applyAll = async (objects: KubernetesObjectApi, text: string): Promise<string> => {
  const lines: string[] = []
  for (const manifest of loadAllYaml(text)) {
    const kind = `${manifest.kind}`.toLowerCase()
    const [group] = manifest.apiVersion?.includes('/') ? manifest.apiVersion.split('/') : ['']
    const header = { ...manifest, metadata: { ...manifest.metadata, name: manifest.metadata?.name ?? '' } }
    const exists = await objects.read(header).then(
      () => true,
      error => {
        if (isNotFound(error)) return false
        throw error
      },
    )
    if (exists) await objects.patch(manifest, undefined, undefined, undefined, undefined, PatchStrategy.StrategicMergePatch)
    else await objects.create(manifest)
    lines.push(`${kind}${group ? `.${group}` : ''}/${manifest.metadata?.name} ${exists ? 'configured' : 'created'}\n`)
  }
  return lines.join('')
}

/** Reads the kubeconfig at the first command, and keeps its connections from then on, over a restart of the server too. */
export const clientNodeCommands = (kubeconfig: string): Commands => {
  const opened: { objects?: KubernetesObjectApi; verbs?: ReturnType<typeof verbsOf> } = {}
  const open = (): Required<typeof opened> => {
    const { objects, verbs } = opened
    if (objects && verbs) return { objects, verbs }
    const config = new KubeConfig()
    config.loadFromFile(kubeconfig)
    return Object.assign(opened, { objects: KubernetesObjectApi.makeApiClient(config), verbs: verbsOf(config) })
  }
  const answer = async (work: () => Promise<string>): Promise<string> => {
    try {
      return await work()
    } catch (error) {
      throw explained(error)
    }
  }
  return {
    apply: text => answer(() => applyAll(open().objects, text)),
    k: (...args) =>
      answer(async () => {
        const verb = open().verbs[args[0] ?? '']
        if (!verb) throw new Error(`unknown command "${args[0]}"`)
        return verb(parseLine(args))
      }),
  }
}

/** A stock kubectl where one was found, else the JavaScript client. */
export const commandsOf = (kubectl: string | undefined, kubeconfig: string): Commands =>
  kubectl === undefined ? clientNodeCommands(kubeconfig) : stockCommands(kubectl, kubeconfig)
