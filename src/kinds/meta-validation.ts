// Rules of metadata that all kinds share: names, labels, annotations, owners, finalizers, and what an update may not change.
// Source: k8s apimachinery api/validation/objectmeta.go. The name's own rule differs by kind.

import { deepEqual } from '../base/json.ts'
import type { Cause } from './causes.ts'
import { forbidden, IMMUTABLE, invalid, invalidAll, required, tooLong } from './causes.ts'
import { validatePolicyAnnotations } from './disconnection.ts'
import { ANNOTATIONS_BYTES_MAX } from './limits.ts'
import type { KubeObject, ObjectMeta, OwnerReference } from './meta.ts'
import { byteLength, dns1123Label, qualifiedName } from './names.ts'
import { validateLabels } from './selector.ts'

type NameRule = (name: string) => string[]

const ORPHAN = 'orphan'
const FOREGROUND = 'foregroundDeletion'

const validateAnnotations = (annotations: Record<string, string>, path: string): Cause[] => {
  const causes: Cause[] = []
  let sizeBytes = 0
  for (const [key, value] of Object.entries(annotations)) {
    causes.push(...invalidAll(path, key, qualifiedName(key.toLowerCase())))
    sizeBytes += byteLength(key) + byteLength(value)
  }
  if (sizeBytes > ANNOTATIONS_BYTES_MAX) causes.push(tooLong(path, ANNOTATIONS_BYTES_MAX))
  return [...causes, ...validatePolicyAnnotations(annotations, path)]
}

const validateOwners = (owners: readonly OwnerReference[], path: string): Cause[] => {
  const causes: Cause[] = []
  let controller = ''
  for (const owner of owners) {
    if (!owner.apiVersion) causes.push(invalid(`${path}.apiVersion`, owner.apiVersion ?? '', 'version must not be empty'))
    for (const part of ['kind', 'name', 'uid'] as const) {
      if (!owner[part]) causes.push(invalid(`${path}.${part}`, owner[part] ?? '', 'must not be empty'))
    }
    if (owner.apiVersion === 'v1' && owner.kind === 'Event') {
      causes.push(invalid(path, owner, '/v1, Kind=Event is disallowed from being an owner'))
    }
    if (owner.controller !== true) continue
    const name = `${owner.kind}/${owner.name}`
    if (controller === '') controller = name
    else {
      const detail = `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${name}`
      causes.push(invalid(path, owners, detail))
    }
  }
  return causes
}

const validateFinalizers = (finalizers: readonly string[], path: string): Cause[] => {
  const causes = finalizers.flatMap(each => invalidAll(path, each, qualifiedName(each)))
  if (finalizers.includes(ORPHAN) && finalizers.includes(FOREGROUND)) {
    causes.push(invalid(path, finalizers, `finalizer ${ORPHAN} and ${FOREGROUND} cannot be both set`))
  }
  return causes
}

/** Labels, annotations, owners and finalizers: what creates and updates both check. */
const validateParts = (meta: ObjectMeta, path: string): Cause[] => [
  ...validateLabels(meta.labels, `${path}.labels`),
  ...(meta.annotations ? validateAnnotations(meta.annotations, `${path}.annotations`) : []),
  ...(meta.ownerReferences ? validateOwners(meta.ownerReferences, `${path}.ownerReferences`) : []),
  ...(meta.finalizers ? validateFinalizers(meta.finalizers, `${path}.finalizers`) : []),
]

const validateNamespace = (namespace: string | undefined, namespaced: boolean, path: string): Cause[] => {
  if (!namespaced) return namespace ? [forbidden(path, 'not allowed on this type')] : []
  return namespace ? invalidAll(path, namespace, dns1123Label(namespace)) : [required(path)]
}

/** A name that becomes a path segment must not be one of its own. */
const pathSegment: NameRule = name => {
  if (name === '.' || name === '..') return [`may not be '${name}'`]
  return ['/', '%'].filter(each => name.includes(each)).map(each => `may not contain '${each}'`)
}

/** Prefixes may end in a dash: the generated suffix follows. */
const maskTrailingDash = (name: string): string => (name.length > 1 && name.endsWith('-') ? `${name.slice(0, -1)}a` : name)

export const validateObjectMeta = (meta: ObjectMeta, namespaced: boolean, nameRule: NameRule, path = 'metadata'): Cause[] => {
  const causes: Cause[] = []
  if (meta.generateName)
    causes.push(...invalidAll(`${path}.generateName`, meta.generateName, nameRule(maskTrailingDash(meta.generateName))))
  if (!meta.name) causes.push(required(`${path}.name`, 'name or generateName is required'))
  else causes.push(...invalidAll(`${path}.name`, meta.name, [...pathSegment(meta.name), ...nameRule(meta.name)]))
  return [...causes, ...validateNamespace(meta.namespace, namespaced, `${path}.namespace`), ...validateParts(meta, path)]
}

/** Metadata of a pod template at `path`: only labels and annotations count. Upstream's paths leave `metadata` out. */
export const validateTemplateMeta = (meta: ObjectMeta | undefined, path: string): Cause[] => [
  ...validateLabels(meta?.labels, `${path}.labels`),
  ...validateAnnotations(meta?.annotations ?? {}, `${path}.annotations`),
]

const FIXED = ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds'] as const

/** What an update may not change in metadata. `object` has passed `validateObjectMeta`. */
export const validateObjectMetaUpdate = (meta: ObjectMeta, old: ObjectMeta, path = 'metadata'): Cause[] => {
  const causes: Cause[] = []
  if (old.deletionTimestamp !== undefined) {
    const added = (meta.finalizers ?? []).filter(each => !old.finalizers?.includes(each)).sort()
    if (added.length > 0) {
      const found = `[]string{${added.map(each => JSON.stringify(each)).join(', ')}}`
      causes.push(
        forbidden(`${path}.finalizers`, `no new finalizers can be added if the object is being deleted, found new finalizers ${found}`),
      )
    }
  }
  for (const part of FIXED) if (!deepEqual(meta[part], old[part])) causes.push(invalid(`${path}.${part}`, meta[part] ?? '', IMMUTABLE))
  return causes
}

/** Validation of a kind that has no rules beyond its metadata. */
export const validateMetaOf = (object: KubeObject, namespaced: boolean, nameRule: NameRule): Cause[] =>
  validateObjectMeta(object.metadata, namespaced, nameRule)
