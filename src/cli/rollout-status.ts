// How far a rollout is, in kubectl's words. Pure. Source: kubectl polymorphichelpers/rollout_status.go.

import type { KubeObject } from '../base/object.ts'
import type { Deployment } from '../kinds/deployment.ts'

export interface RolloutState {
  readonly message: string
  readonly done: boolean
  readonly failed?: true
}

const REVISION = 'deployment.kubernetes.io/revision'

export const deploymentRevision = (object: Pick<KubeObject, 'metadata'>): number => Number(object.metadata.annotations?.[REVISION] ?? 0)

/** The state of a Deployment's rollout; `revision` > 0 asks for that one only. */
export const deploymentState = (deployment: Deployment, revision: number): RolloutState => {
  const name = JSON.stringify(deployment.metadata.name ?? '')
  const status = deployment.status ?? {}
  if (revision > 0 && deploymentRevision(deployment) !== revision)
    return {
      message: `desired revision (${revision}) is different from the running revision (${deploymentRevision(deployment)})`,
      done: false,
      failed: true,
    }
  if ((deployment.metadata.generation ?? 0) > (status.observedGeneration ?? 0))
    return { message: 'Waiting for deployment spec update to be observed...', done: false }
  const progressing = status.conditions?.find(condition => condition.type === 'Progressing')
  if (progressing?.reason === 'ProgressDeadlineExceeded')
    return { message: `deployment ${name} exceeded its progress deadline`, done: false, failed: true }
  const waiting = (text: string): RolloutState => ({ message: `Waiting for deployment ${name} rollout to finish: ${text}`, done: false })
  const { updatedReplicas = 0, replicas = 0, availableReplicas = 0 } = status
  const wanted = deployment.spec.replicas ?? 1
  if (updatedReplicas < wanted) return waiting(`${updatedReplicas} out of ${wanted} new replicas have been updated...`)
  if (replicas > updatedReplicas) return waiting(`${replicas - updatedReplicas} old replicas are pending termination...`)
  if (availableReplicas < updatedReplicas) return waiting(`${availableReplicas} of ${updatedReplicas} updated replicas are available...`)
  return { message: `deployment ${name} successfully rolled out`, done: true }
}
