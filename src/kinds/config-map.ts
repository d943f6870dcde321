// ConfigMap: text and bytes that pods read (k8s.io/api/core/v1). Values under `binaryData` are base64. The type of Secret stands here too,
// because most readers treat both alike; its rules are in secret.ts.

import { deepEqual } from '../base/json.ts'
import { base64Size } from './base64.ts'
import type { Cause } from './causes.ts'
import { forbidden, invalid, invalidAll, tooLong } from './causes.ts'
import type { Kind } from './kind.ts'
import { CONFIG_BYTES_MAX } from './limits.ts'
import type { KubeObject, ObjectMeta } from './meta.ts'
import { validateObjectMeta, validateObjectMetaUpdate } from './meta-validation.ts'
import { byteLength, configKey, dns1123Subdomain } from './names.ts'
import { AGE_COLUMN, ageOf, column, NAME_COLUMN, nameOf } from './printing.ts'

export interface ConfigMap {
  apiVersion: 'v1'
  kind: 'ConfigMap'
  metadata: ObjectMeta
  data?: Record<string, string>
  binaryData?: Record<string, string>
  immutable?: boolean
  [field: string]: unknown
}

export interface Secret {
  apiVersion: 'v1'
  kind: 'Secret'
  metadata: ObjectMeta
  type?: string
  data?: Record<string, string>
  stringData?: Record<string, string>
  immutable?: boolean
  [field: string]: unknown
}

const asConfigMap = (object: KubeObject): ConfigMap => object as unknown as ConfigMap

const validateData = ({ data = {}, binaryData = {} }: ConfigMap): Cause[] => {
  const causes: Cause[] = []
  let sizeBytes = 0
  for (const [key, value] of Object.entries(data)) {
    causes.push(...invalidAll(`data[${key}]`, key, configKey(key)))
    if (Object.hasOwn(binaryData, key)) causes.push(invalid(`data[${key}]`, key, 'duplicate of key present in binaryData'))
    sizeBytes += byteLength(value)
  }
  for (const [key, value] of Object.entries(binaryData)) {
    causes.push(...invalidAll(`binaryData[${key}]`, key, configKey(key)))
    sizeBytes += base64Size(value)
  }
  if (sizeBytes > CONFIG_BYTES_MAX) causes.push(tooLong('[]', CONFIG_BYTES_MAX))
  return causes
}

/** What `immutable: true` holds still: itself and the named fields. Shared with Secret. */
export const validateImmutable = (object: KubeObject, old: KubeObject, fields: readonly string[]): Cause[] => {
  if (old['immutable'] !== true) return []
  const detail = 'field is immutable when `immutable` is set'
  const causes = object['immutable'] === true ? [] : [forbidden('immutable', detail)]
  for (const field of fields) if (!deepEqual(object[field] ?? {}, old[field] ?? {})) causes.push(forbidden(field, detail))
  return causes
}

export const configMapKind: Kind = {
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  singular: 'configmap',
  shortNames: ['cm'],
  namespaced: true,
  definition: 'io.k8s.api.core.v1.ConfigMap',
  hasStatus: false,
  hasGeneration: false,
  setDefaults: () => {},
  validate: object => [...validateObjectMeta(object.metadata, true, dns1123Subdomain), ...validateData(asConfigMap(object))],
  validateUpdate: (object, old) => [
    ...validateObjectMetaUpdate(object.metadata, old.metadata),
    ...validateImmutable(object, old, ['data', 'binaryData']),
  ],
  columns: [NAME_COLUMN, column('Data', 'Number of keys.'), AGE_COLUMN],
  row: (object, nowMs) => {
    const { data = {}, binaryData = {} } = asConfigMap(object)
    return [nameOf(object), Object.keys(data).length + Object.keys(binaryData).length, ageOf(object, nowMs)]
  },
}
