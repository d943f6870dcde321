// Pods a device was delivered with: DATA_DIR/preload/*.yaml as the document of a device that no server has spoken to yet. They are pods
// like others, with a uid made of manifest and device. Loaded on the first day only: it knows the rules of manifests.

import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import type { Files } from '../base/files.ts'
import { isObject } from '../base/json.ts'
import type { ConfigMap, Secret } from '../kinds/config-map.ts'
import { configMapKind } from '../kinds/config-map.ts'
import type { Kind } from '../kinds/kind.ts'
import type { KubeObject } from '../kinds/meta.ts'
import type { Pod } from '../kinds/pod.ts'
import { podKind } from '../kinds/pod-kind.ts'
import { checkSchema, strictProblem } from '../kinds/schema-check.ts'
import { secretKind } from '../kinds/secret.ts'
import type { Document } from '../link/link.ts'
import { PODS_MAX, PRELOAD_FILE_BYTES_MAX, PRELOAD_FILES_MAX, PRELOAD_OBJECTS_MAX } from './limits.ts'
import { hasPreload, PRELOAD_DIR } from './preload-folder.ts'

/** Where nobody said otherwise; nobody else gives out addresses before a server does. */
const ALONE_POD_CIDR = '10.42.0.0/24'

export interface Preload {
  /** Undefined when there is nothing to run. */
  readonly document: Document | undefined
  /** What was left out, one line each: `preload/web.yaml: …`. */
  readonly problems: readonly string[]
}

const KINDS: Readonly<Record<string, Kind>> = { Pod: podKind, ConfigMap: configMapKind, Secret: secretKind }
const ONLY = 'only Pod, ConfigMap and Secret run without a server'

const uidOf = (device: string, object: KubeObject): string => {
  const hex = createHash('sha256')
    .update(JSON.stringify(['preload', device, object]))
    .digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** The object as a server would have it stored; throws one line. */
const objectOf = (value: Record<string, unknown>, device: string): KubeObject => {
  const kind = KINDS[String(value['kind'])]
  if (kind === undefined || value['apiVersion'] !== 'v1')
    throw new Error(`${String(value['apiVersion'])} ${String(value['kind'])}: ${ONLY}`)
  const { errors, unknown, pruned } = checkSchema(value, kind.definition)
  const problem = errors[0] ?? strictProblem(unknown)
  if (problem !== undefined) throw new Error(problem)
  const { metadata, status: _status, ...rest } = pruned as unknown as KubeObject
  const { name, namespace = 'default', labels, annotations } = metadata
  const said = {
    ...(name === undefined ? {} : { name }),
    namespace,
    ...(labels ? { labels } : {}),
    ...(annotations ? { annotations } : {}),
  }
  const object = { ...rest, metadata: said } as KubeObject
  const uid = uidOf(device, object)
  kind.setDefaults(object)
  const [cause] = kind.validate(object)
  if (cause) throw new Error(`${kind.kind} ${name ?? ''}: ${cause.field}: ${cause.detail}`)
  if (kind !== podKind) return object
  const pod = object as unknown as Pod
  if ((pod.spec.nodeName ?? device) !== device) throw new Error(`Pod ${name}: it is for node ${pod.spec.nodeName}`)
  return { ...object, metadata: { ...said, uid }, spec: { ...pod.spec, nodeName: device } } as unknown as KubeObject
}

interface Found {
  readonly from: string
  readonly value: Record<string, unknown>
}

/** Every manifest of the folder, in the order of the files. */
const manifestsIn = async (dir: string, files: Files, problems: string[]): Promise<Found[]> => {
  const names = readdirSync(dir, { withFileTypes: true })
    .filter(entry => entry.isFile() && /^[^.].*\.(yaml|yml|json)$/.test(entry.name))
    .map(entry => entry.name)
    .sort()
  for (const name of names.slice(PRELOAD_FILES_MAX)) problems.push(`preload/${name}: more than ${PRELOAD_FILES_MAX} files`)
  const { parseAllDocuments } = await import('yaml')
  const found: Found[] = []
  for (const name of names.slice(0, PRELOAD_FILES_MAX)) {
    const from = `preload/${name}`
    try {
      const documents = parseAllDocuments(files.read(join(dir, name), PRELOAD_FILE_BYTES_MAX) ?? '', { version: '1.1', merge: true })
      for (const document of Array.isArray(documents) ? documents : []) {
        const [problem] = document.errors
        if (problem) problems.push(`${from}: ${problem.message.split('\n')[0]?.replace(/:$/, '')}`)
        const value: unknown = problem ? undefined : document.toJS({ maxAliasCount: 1000 })
        if (isObject(value)) found.push({ from, value })
        else if (value !== undefined && value !== null) problems.push(`${from}: a document is not an object`)
      }
    } catch (error) {
      problems.push(`${from}: ${messageOf(error)}`)
    }
  }
  return found
}

const keyOf = ({ kind, metadata }: KubeObject): string => `${kind} ${metadata.namespace}/${metadata.name}`

/** What lies in the folder, as the document of a device alone. Whatever is wrong with a manifest, it does not stop the others. */
export const readPreload = async (
  { dir, files }: { readonly dir: string; readonly files: Files },
  { device, podCIDR = ALONE_POD_CIDR }: { readonly device: string; readonly podCIDR?: string | undefined },
): Promise<Preload> => {
  const problems: string[] = []
  if (!hasPreload(dir)) return { document: undefined, problems }
  const objects = new Map<string, KubeObject>()
  try {
    for (const { from, value } of await manifestsIn(join(dir, PRELOAD_DIR), files, problems)) {
      try {
        // Sets of manifests bring their namespaces along; nothing here depends on them.
        if (value['kind'] === 'Namespace') continue
        const object = objectOf(value, device)
        if (objects.has(keyOf(object))) throw new Error(`${keyOf(object)} is there already`)
        if (objects.size >= PRELOAD_OBJECTS_MAX) throw new Error(`more than ${PRELOAD_OBJECTS_MAX} objects`)
        objects.set(keyOf(object), object)
      } catch (error) {
        problems.push(`${from}: ${messageOf(error).slice(0, 500)}`)
      }
    }
  } catch (error) {
    problems.push(`read ${PRELOAD_DIR}: ${messageOf(error)}`)
  }
  const of = <T>(kind: string): T[] => [...objects.values()].filter(object => object.kind === kind) as unknown as T[]
  const pods = of<Pod>('Pod')
  for (const pod of pods.slice(PODS_MAX)) problems.push(`preload: Pod ${pod.metadata.name}: a device takes ${PODS_MAX} pods`)
  const document: Document = {
    apiVersion: 'heliopause.io/v1',
    kind: 'DeviceDocument',
    device,
    podCIDR,
    clusterCIDR: podCIDR,
    pods: pods.slice(0, PODS_MAX),
    configMaps: of<ConfigMap>('ConfigMap'),
    secrets: of<Secret>('Secret'),
  }
  return { document: pods.length > 0 ? document : undefined, problems }
}
