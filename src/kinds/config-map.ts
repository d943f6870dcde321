// ConfigMap and Secret: the types (k8s.io/api/core/v1). Values under `data` of a Secret and `binaryData` of a ConfigMap are base64.

import type { ObjectMeta } from './meta.ts'

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
