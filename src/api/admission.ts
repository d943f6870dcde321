// Whether a new object may enter its namespace. Source: k8s NamespaceLifecycle admission.

import type { Kind } from '../kinds/kind.ts'
import { storeKey } from '../kinds/kind.ts'
import type { Store } from '../store/store.ts'
import { forbidden, notFound } from './refusal.ts'

const NAMESPACES = { group: '', plural: 'namespaces' } as const

/** Kinds that may be created in a namespace that is being deleted would be listed here; upstream has none of ours. */
export const admitCreate = (store: Store, kind: Kind, namespace: string, name: string): void => {
  if (!kind.namespaced) return
  const found = store.getStaged(storeKey(NAMESPACES, '', namespace))
  if (!found) throw notFound(NAMESPACES, namespace)
  if (found.object.metadata.deletionTimestamp === undefined) return
  throw forbidden(kind, name, `unable to create new content in namespace ${namespace} because it is being terminated`, [
    { field: 'metadata.namespace', type: 'NamespaceTerminating', detail: `namespace ${namespace} is being terminated` },
  ])
}

/** Names the server itself needs. */
const IMMORTAL = new Set(['default', 'kube-system', 'kube-public'])

/** The namespaces every client expects cannot be deleted. */
export const admitDelete = (kind: Kind, name: string): void => {
  if (kind.group === '' && kind.kind === 'Namespace' && IMMORTAL.has(name)) throw forbidden(kind, name, 'this namespace may not be deleted')
}
