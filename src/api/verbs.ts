// The verbs for callers in this process: the same path HTTP takes, without HTTP.

import { assert } from '../base/assert.ts'
import type { ApiDeps, Verbs } from './api.ts'
import { bindPod } from './pod-verbs.ts'
import { createWriter, type Writer } from './writer.ts'

/** Verbs plus the writer behind them, which HTTP uses to answer with stored bytes. */
export interface LocalVerbs extends Verbs {
  readonly writer: Writer
}

/** Verbs over a store. Arguments are never kept or changed; results are frozen. */
export const createVerbs = (deps: Pick<ApiDeps, 'store' | 'clock' | 'random' | 'kinds'>): LocalVerbs => {
  const writer = createWriter(deps)
  const pods = deps.kinds.find(kind => kind.group === '' && kind.kind === 'Pod')
  return {
    writer,
    get: target => writer.read(target).object,
    create: async (_caller, target, object, options) => (await writer.create(target, object, options)).object,
    update: async (_caller, target, object, options) => (await writer.update(target, object, options)).object,
    patch: async (_caller, target, patch, type, options) => (await writer.patch(target, patch, type, options)).object,
    delete: async (_caller, target, options) => (await writer.remove(target, options)).object,
    bind: async (_caller, namespace, name, node, preconditions) => {
      assert(pods, 'the kind Pod is registered')
      await bindPod({ writer, clock: deps.clock }, pods, { namespace, name, node, ...(preconditions ? { preconditions } : {}) })
    },
  }
}
