// Changes as lines of a watch stream. Plain JSON is the stored bytes in an envelope, made once for all watchers of the change.

import type { KubeObject } from '../base/object.ts'
import { apiVersionOf, type Kind } from '../kinds/kind.ts'
import type { Entry, StoreEvent } from '../store/store.ts'
import type { Form } from './accept.ts'
import type { Selection } from './selection.ts'
import { type IncludeObject, toPartial, toTable } from './table.ts'

export interface EncoderOptions {
  readonly kind: Kind
  readonly selection: Selection
  readonly form: Form
  readonly include: IncludeObject
  readonly nowMs: () => number
}

export interface Encoder {
  added(entry: Entry): Buffer
  /** Undefined when the change does not concern this watch. */
  event(event: StoreEvent): Buffer | undefined
  /** `initialEnd`: the present state has been sent completely. */
  bookmark(revision: number, initialEnd: boolean): Buffer
}

type Type = StoreEvent['type']

const CLOSE = Buffer.from('}\n')
const OPEN: Readonly<Record<Type, Buffer>> = {
  ADDED: Buffer.from('{"type":"ADDED","object":'),
  MODIFIED: Buffer.from('{"type":"MODIFIED","object":'),
  DELETED: Buffer.from('{"type":"DELETED","object":'),
}
const INITIAL_END = 'k8s.io/initial-events-end'

const envelope = (type: Type, value: Buffer): Buffer => Buffer.concat([OPEN[type], value, CLOSE])

/** Envelopes of changes, by type, shared by the watchers of one change; forgotten with the change. */
const shared = new WeakMap<StoreEvent, Map<Type, Buffer>>()

const sharedEnvelope = (event: StoreEvent, type: Type): Buffer => {
  const lines = shared.get(event) ?? new Map<Type, Buffer>()
  shared.set(event, lines)
  const line = lines.get(type) ?? envelope(type, event.value)
  lines.set(type, line)
  return line
}

/** The object as it was, with the revision of the change that took it out of the selection. */
const departed = (object: KubeObject, revision: number): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, resourceVersion: String(revision) },
})

export const createEncoder = (options: EncoderOptions): Encoder => {
  const { kind, selection, form, include, nowMs } = options
  const shown = (object: KubeObject): KubeObject => (kind.storage ? kind.storage.fromStored(object) : object)
  const isPlain = form.as === 'json' || form.as === 'yaml'
  const sent = { columns: false }

  const dressed = (object: KubeObject): KubeObject => {
    if (isPlain) return object
    if (form.as === 'partial') return toPartial(object, form.version)
    const columns = !sent.columns
    sent.columns = true
    const meta = { resourceVersion: object.metadata.resourceVersion ?? '' }
    return toTable(kind, [object], { version: form.version, include, nowMs: nowMs(), meta, columns })
  }
  /** What a change is to this watch; plain JSON is made once for all of them. */
  const told = (event: StoreEvent, type: Type): Buffer =>
    isPlain && !kind.storage ? sharedEnvelope(event, type) : line(type, dressed(shown(event.object)))
  const line = (type: string, object: KubeObject): Buffer => Buffer.from(`${JSON.stringify({ type, object })}\n`)
  const passes = (object: KubeObject | undefined): boolean => object !== undefined && selection.matches(shown(object))

  /** What a change is to somebody who sees only the selection. */
  const selected = (event: StoreEvent): Buffer | undefined => {
    // What a change of before the server's start replaced may be unknown: then the watcher may have had the object, and is told.
    const before = (event.type !== 'ADDED' && event.previous === undefined) || passes(event.previous?.object)
    if (event.type === 'DELETED') return before ? told(event, 'DELETED') : undefined
    const after = passes(event.object)
    if (!after) return before ? line('DELETED', dressed(shown(departed((event.previous ?? event).object, event.revision)))) : undefined
    return told(event, before ? 'MODIFIED' : 'ADDED')
  }
  return {
    added: entry => (isPlain && !kind.storage ? envelope('ADDED', entry.value) : line('ADDED', dressed(shown(entry.object)))),
    event(event) {
      if (!selection.all) return selected(event)
      return told(event, event.type)
    },
    bookmark(revision, initialEnd) {
      const annotations = initialEnd ? { annotations: { [INITIAL_END]: 'true' } } : {}
      const metadata = { resourceVersion: String(revision), creationTimestamp: null, ...annotations }
      if (form.as === 'partial')
        return line('BOOKMARK', {
          kind: 'PartialObjectMetadata',
          apiVersion: `meta.k8s.io/${form.version}`,
          metadata,
        } as unknown as KubeObject)
      const object = { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata } as unknown as KubeObject
      if (form.as !== 'table') return line('BOOKMARK', object)
      const rows = initialEnd ? [{ cells: [], object }] : []
      return line('BOOKMARK', {
        kind: 'Table',
        apiVersion: `meta.k8s.io/${form.version}`,
        metadata: { resourceVersion: String(revision) },
        columnDefinitions: [],
        rows,
      })
    },
  }
}
