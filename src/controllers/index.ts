// All controllers, one line each. The loop runs them; the order means nothing.

import type { Controller } from './controller.ts'
import { deployment } from './deployment.ts'
import { disconnection } from './disconnection.ts'
import { endpoints } from './endpoints.ts'
import { eventCleanup } from './event-cleanup.ts'
import { garbageCollection } from './garbage-collection.ts'
import { holdLifting } from './hold-lifting.ts'
import { defaultServiceAccount, namespace, systemNamespaces } from './namespace.ts'
import { nodeLifecycle } from './node-lifecycle.ts'
import { podGc } from './pod-gc.ts'
import { replicaSet } from './replica-set.ts'

export const controllers: readonly Controller[] = [
  systemNamespaces,
  namespace,
  defaultServiceAccount,
  replicaSet,
  deployment,
  garbageCollection,
  nodeLifecycle,
  podGc,
  disconnection,
  holdLifting,
  endpoints,
  eventCleanup,
]
