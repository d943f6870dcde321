// What the registry knows of a kind: everything the API, the CLI and the controllers need to treat all kinds alike.
// A kind is one value of this type in kinds/index.ts; built-in kinds and (later) CRDs go the same way. DESIGN invariant 4.

import type { Cause } from '../base/errors.ts'
import type { KubeObject } from './meta.ts'

/** A printer column, as metav1.TableColumnDefinition. `priority` > 0 is shown with `-o wide` only. */
export interface Column {
  readonly name: string
  readonly type: 'string' | 'integer' | 'date' | 'number' | 'boolean'
  readonly format?: string
  readonly description: string
  readonly priority: number
}

/** Cells of one row, in column order. Ages are computed against `nowMs` (wall). */
export type Cell = string | number | boolean | null

/** Where /scale finds its three values; paths are dot-separated, as in CRDs (`spec.replicas`). */
export interface ScalePaths {
  readonly specReplicas: string
  readonly statusReplicas: string
  /** Builds the text of status.selector. */
  readonly selector: (object: KubeObject) => string
}

export interface Kind {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly categories?: readonly string[]
  readonly namespaced: boolean
  /** Name of the definition in the schema, for example `io.k8s.api.core.v1.Pod`. */
  readonly definition: string
  /** Where it is stored when another kind owns the storage (events.k8s.io Event lives with core Event). */
  readonly storage?: {
    readonly group: string
    readonly plural: string
    readonly fromStored: (object: KubeObject) => KubeObject
    readonly toStored: (object: KubeObject) => KubeObject
  }
  /** Spec changes raise metadata.generation; the status subresource is split from the main resource. */
  readonly hasStatus: boolean
  /** True where metadata.generation is kept (upstream: all kinds with a spec that controllers observe). */
  readonly hasGeneration: boolean
  readonly scale?: ScalePaths
  /** Reconstructible: kept in memory and flushed lazily (Events, Leases of nodes). */
  readonly lazy?: boolean
  /** True for pods: deletion waits for metadata.deletionGracePeriodSeconds. Returns the grace in seconds for this object. */
  readonly graceSeconds?: (object: KubeObject) => number
  /** Fills upstream's defaults; gets a private copy and may change it. */
  readonly setDefaults: (object: KubeObject) => void
  /** Last touch before validation on create: drops status, sets phase … Gets a private copy. */
  readonly prepareCreate?: (object: KubeObject) => void
  /** Last touch before validation on update of the main resource: carries over what clients may not change. Gets a private copy. */
  readonly prepareUpdate?: (object: KubeObject, old: KubeObject) => void
  /** Upstream's validation beyond the schema; paths and messages are upstream's. */
  readonly validate: (object: KubeObject) => Cause[]
  /** Immutability and transition rules; `validate` has passed already. */
  readonly validateUpdate: (object: KubeObject, old: KubeObject) => Cause[]
  /** Validation of a status update, where the kind has rules. */
  readonly validateStatusUpdate?: (object: KubeObject, old: KubeObject) => Cause[]
  readonly columns: readonly Column[]
  readonly row: (object: KubeObject, nowMs: number) => Cell[]
  /** Values for field selectors beyond metadata.name and metadata.namespace: `spec.nodeName`, `status.phase`, `involvedObject.uid` … */
  readonly fields?: (object: KubeObject) => Record<string, string>
}

/** `apps/v1`, or `v1` for the core group. */
export const apiVersionOf = (kind: Pick<Kind, 'group' | 'version'>): string =>
  kind.group === '' ? kind.version : `${kind.group}/${kind.version}`

/** Name of a resource with its group as error messages print it: `deployments.apps`, `pods`. */
export const qualifiedResource = (kind: Pick<Kind, 'group' | 'plural'>): string =>
  kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`

/** Key in the store: `/<group>/<plural>/<namespace>/<name>`; the namespace is empty for cluster-scoped kinds. Ends in `/` without a name. */
export const storeKey = (kind: Pick<Kind, 'group' | 'plural' | 'storage'>, namespace = '', name = ''): string =>
  `/${kind.storage?.group ?? kind.group}/${kind.storage?.plural ?? kind.plural}/${namespace}/${name}`

/** Prefix in the store of all objects of a kind, or of those in one namespace. */
export const storePrefix = (kind: Pick<Kind, 'group' | 'plural' | 'storage'>, namespace?: string): string =>
  namespace
    ? `/${kind.storage?.group ?? kind.group}/${kind.storage?.plural ?? kind.plural}/${namespace}/`
    : `/${kind.storage?.group ?? kind.group}/${kind.storage?.plural ?? kind.plural}/`
