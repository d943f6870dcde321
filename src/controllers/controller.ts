// The door of the controllers: what a reconciler sees, and what it may ask for. Pure: (view at one revision, key, now) → actions.
// DESIGN invariant 3; CONVENTIONS 2–5.

import type { HeadConflict } from '../kinds/conflict.ts'
import type { KubeObject, LabelSelector } from '../kinds/meta.ts'

/** Everything true at one revision. Objects are frozen. `kind` is the plain kind name of a registered kind: 'Pod', 'Deployment' … */
export interface View {
  readonly revision: number
  get<T = KubeObject>(kind: string, namespace: string, name: string): T | undefined
  /**
   * In key order. `owner` is the uid of the controlling owner ('' = no controller); `node` matches spec.nodeName of pods ('' = not bound).
   * Indexed: all but `selector` are cheap. The same array comes back until one of its objects changes, so derived values can be memoized by it.
   */
  list<T = KubeObject>(kind: string, filter?: { namespace?: string; owner?: string; node?: string; selector?: LabelSelector }): readonly T[]
  /** Objects of any kind whose ownerReferences name this uid (controller or not). */
  dependents(uid: string): readonly KubeObject[]
  /** True when an object with this uid exists. */
  exists(uid: string): boolean
  /** True when this kind is registered, so that "no such object" is knowledge and not ignorance. */
  knows(apiVersion: string, kind: string): boolean
  /** Every registered kind name that is namespaced, for namespace deletion. */
  readonly namespacedKinds: readonly string[]
  /** Contact with a device, from the link (memory only, never a database write); undefined when it never called since the server started. */
  contact(node: string): Contact | undefined
  /** Milliseconds (monotonic) since this server started: silence cannot be longer than what we have listened. */
  readonly uptimeMs: number
}

export interface Contact {
  readonly connected: boolean
  /** Milliseconds since the last frame from it (0 while connected). */
  readonly silentMs: number
  /** Once this one has been silent for so long, every other one that was cut off in the same moment has been noticed. */
  readonly togetherMs?: number
  /** It said that it calls only so often; absent when it stays connected. */
  readonly contactIntervalMs?: number
  /** What keeps it from following this server; null: it follows, absent: it has not said yet. */
  readonly conflict?: HeadConflict | null
}

/** Writes carry uid and resourceVersion; a conflict means "run again", silently. Plain JSON: can be logged, compared, replayed. */
export type Action =
  | { readonly do: 'create'; readonly object: KubeObject }
  /** Replaces the object; its metadata.uid and resourceVersion are the preconditions. */
  | { readonly do: 'update'; readonly object: KubeObject }
  /** Merge patch (RFC 7386) on the main resource. */
  | {
      readonly do: 'patch'
      readonly kind: string
      readonly key: string
      readonly uid: string
      readonly resourceVersion?: string
      readonly patch: Record<string, unknown>
    }
  /** Replaces `status`. */
  | {
      readonly do: 'patchStatus'
      readonly kind: string
      readonly key: string
      readonly uid: string
      readonly resourceVersion: string
      readonly status: Record<string, unknown>
    }
  | {
      readonly do: 'delete'
      readonly kind: string
      readonly key: string
      readonly uid: string
      readonly resourceVersion?: string
      readonly gracePeriodSeconds?: number
      readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan'
    }
  /** POST pods/binding: sets spec.nodeName once. */
  | { readonly do: 'bind'; readonly key: string; readonly uid: string; readonly resourceVersion: string; readonly node: string }
  /** Empties spec.finalizers of a Namespace whose content is gone (PUT namespaces/finalize). */
  | { readonly do: 'finalize'; readonly kind: 'Namespace'; readonly key: string; readonly uid: string; readonly resourceVersion: string }
  /** An Event about an object, coalesced by (regarding, reason, note). */
  | {
      readonly do: 'event'
      /** Position in the same result of the action it tells of; the Event is dropped when that action failed. */
      readonly after?: number
      readonly regarding: {
        readonly apiVersion: string
        readonly kind: string
        readonly namespace?: string
        readonly name: string
        readonly uid: string
      }
      readonly type: 'Normal' | 'Warning'
      readonly reason: string
      readonly note: string
      readonly source: string
    }

/**
 * What one run asks for. Actions carried out in parallel must not depend on each other and must not write one object twice;
 * the loop carries out `patchStatus` after the others and Events last.
 */
export interface Result {
  readonly actions: readonly Action[]
  /** The only way to ask for another run without a change: "in afterMs, because why". */
  readonly again?: { readonly afterMs: number; readonly why: string }
}

export interface Watched {
  /** A kind name, or '*' for every kind. */
  readonly kind: string
  /** Which keys of this controller to run when such an object changed; gets the new state and, when there was one, the old. The view is newer than both; an object that was deleted is not in it. */
  readonly keys: (object: KubeObject, old: KubeObject | undefined, view: View) => readonly string[]
}

export interface Controller {
  readonly name: string
  readonly watches: readonly Watched[]
  /** Keys to run once at start, whether or not anything exists. */
  readonly initialKeys?: readonly string[]
  /** One key runs at most once in this time, so that a burst of changes costs one run; the first change runs at once. */
  readonly gapMs?: number
  /** Keys to run when a device connected or fell silent. */
  readonly contactKeys?: (node: string) => readonly string[]
  readonly reconcile: (view: View, key: string, nowMs: number) => Result
}
