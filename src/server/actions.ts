// The one place where what controllers ask for becomes API verbs: same defaults, validation and preconditions as for any client.

import type { Identity, Target, Verbs } from '../api/api.ts'
import { ApiError, isReason, messageOf } from '../base/errors.ts'
import type { KubeObject } from '../base/object.ts'
import type { Action } from '../controllers/controller.ts'
import type { Kind } from '../kinds/kind.ts'
import { splitKey } from '../kinds/meta.ts'
import { NAMESPACE_FINALIZER } from '../kinds/namespace.ts'
import type { Outcome } from './loop-core.ts'
import type { EventRecorder, EventWrite } from './loop-events.ts'

/** Controllers act as the control plane itself. */
export const CONTROLLER: Identity = { name: 'system:kube-controller-manager', groups: ['system:masters'] }

export interface ActionDeps {
  readonly verbs: Verbs
  readonly kinds: readonly Kind[]
  readonly events: EventRecorder
}

type Executors = { readonly [K in Action['do']]: (action: Extract<Action, { readonly do: K }>) => Promise<unknown> }

/** The executor of each action; a missing one does not compile. */
export const createExecutors = (deps: ActionDeps): Executors => {
  const { verbs } = deps
  const kinds = new Map(deps.kinds.filter(kind => !kind.storage).map(kind => [kind.kind, kind]))
  const kindOf = (name: string): Kind => {
    const kind = kinds.get(name)
    if (!kind) throw new ApiError('BadRequest', `carry out an action: no kind ${name}`)
    return kind
  }
  const targetOf = (kind: string, key: string): Target => ({ kind: kindOf(kind), ...splitKey(key) })
  /** The object as it is, with the preconditions of the action in its metadata. */
  const current = (target: Target, action: { readonly uid: string; readonly resourceVersion: string }): KubeObject => {
    const object = verbs.get(target)
    return { ...object, metadata: { ...object.metadata, uid: action.uid, resourceVersion: action.resourceVersion } }
  }
  const preconditions = (action: {
    readonly uid: string
    readonly resourceVersion?: string
  }): { uid: string; resourceVersion?: string } => ({
    uid: action.uid,
    ...(action.resourceVersion ? { resourceVersion: action.resourceVersion } : {}),
  })
  const place = (object: KubeObject): { kind: Kind; namespace: string } => ({
    kind: kindOf(object.kind),
    namespace: object.metadata.namespace ?? '',
  })
  return {
    create: async ({ object }) => verbs.create(CONTROLLER, place(object), object),
    update: async ({ object }) => verbs.update(CONTROLLER, { ...place(object), name: object.metadata.name ?? '' }, object),
    patch: async action => {
      const metadata = { ...(action.patch['metadata'] as Record<string, unknown> | undefined), ...preconditions(action) }
      return verbs.patch(CONTROLLER, targetOf(action.kind, action.key), { ...action.patch, metadata }, 'merge')
    },
    patchStatus: async action => {
      const target = { ...targetOf(action.kind, action.key), subresource: 'status' } as const
      return verbs.update(
        CONTROLLER,
        target,
        { ...current(targetOf(action.kind, action.key), action), status: action.status },
        { lazy: true },
      )
    },
    finalize: async action => {
      const target = targetOf(action.kind, action.key)
      const object = current(target, action)
      const { finalizers = [] } = (object.spec ?? {}) as { finalizers?: string[] }
      const spec = { finalizers: finalizers.filter(each => each !== NAMESPACE_FINALIZER) }
      return verbs.update(CONTROLLER, { ...target, subresource: 'finalize' }, { ...object, spec })
    },
    delete: async action =>
      verbs.delete(CONTROLLER, targetOf(action.kind, action.key), {
        preconditions: preconditions(action),
        ...(action.gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds: action.gracePeriodSeconds }),
        ...(action.propagationPolicy ? { propagationPolicy: action.propagationPolicy } : {}),
      }),
    bind: async action => {
      const { namespace, name } = splitKey(action.key)
      await verbs.bind(CONTROLLER, namespace, name, action.node, preconditions(action))
    },
    event: async action => {
      const write = deps.events.record(action)
      if (write) await writeEvent(verbs, kindOf('Event'), write)
    },
  }
}

const writeEvent = async (verbs: Verbs, kind: Kind, write: EventWrite): Promise<unknown> => {
  const { namespace } = write
  if (write.do === 'create') return verbs.create(CONTROLLER, { kind, namespace }, write.object)
  try {
    return await verbs.patch(CONTROLLER, { kind, namespace, name: write.name }, write.patch, 'merge')
  } catch (error) {
    if (isReason(error, 'NotFound')) return verbs.create(CONTROLLER, { kind, namespace }, write.otherwise)
    throw error
  }
}

/** Someone else was faster, or the object's home is on its way out: the next run sees it. */
const isQuiet = (error: unknown): boolean =>
  isReason(error, 'Conflict') ||
  isReason(error, 'AlreadyExists') ||
  isReason(error, 'NotFound') ||
  (error instanceof ApiError && (error.details.causes ?? []).some(cause => cause.type === 'NamespaceTerminating'))

/** Carries out any action and says how it ended; never rejects. */
export const createExecutor = (deps: ActionDeps & { readonly revision: () => number }): ((action: Action) => Promise<Outcome>) => {
  const executors = createExecutors(deps)
  return async action => {
    try {
      await (executors[action.do] as (action: Action) => Promise<unknown>)(action)
      return { ok: true, revision: deps.revision() }
    } catch (error) {
      const isGone = action.do === 'delete' && isReason(error, 'NotFound')
      if (isGone) return { ok: true, revision: deps.revision() }
      return { ok: false, quiet: isQuiet(error), message: messageOf(error), revision: deps.revision() }
    }
  }
}
