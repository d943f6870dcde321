import t from 'tap'
import { deploymentState } from '../../../src/cli/rollout-status.ts'
import type { Deployment, DeploymentStatus } from '../../../src/kinds/deployment.ts'

const deployment = (status: DeploymentStatus, generation = 2): Deployment => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', generation, annotations: { 'deployment.kubernetes.io/revision': '3' } },
  spec: { replicas: 4, selector: {}, template: { spec: { containers: [] } } },
  status: { observedGeneration: 2, ...status },
})

t.test('says in kubectl’s words what a rollout waits for', async t => {
  const says = (status: DeploymentStatus, generation?: number): string => deploymentState(deployment(status, generation), 0).message
  t.equal(says({}, 3), 'Waiting for deployment spec update to be observed...')
  t.equal(says({ updatedReplicas: 1 }), 'Waiting for deployment "web" rollout to finish: 1 out of 4 new replicas have been updated...')
  t.equal(
    says({ updatedReplicas: 4, replicas: 6 }),
    'Waiting for deployment "web" rollout to finish: 2 old replicas are pending termination...',
  )
  t.equal(
    says({ updatedReplicas: 4, replicas: 4, availableReplicas: 3 }),
    'Waiting for deployment "web" rollout to finish: 3 of 4 updated replicas are available...',
  )
  t.same(deploymentState(deployment({ updatedReplicas: 4, replicas: 4, availableReplicas: 4 }), 0), {
    message: 'deployment "web" successfully rolled out',
    done: true,
  })
})

t.test('fails when the deadline passed or another revision runs', async t => {
  const late = deployment({ conditions: [{ type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded' }] })
  t.match(deploymentState(late, 0), { failed: true, message: 'deployment "web" exceeded its progress deadline' })
  t.match(deploymentState(deployment({}), 2), {
    failed: true,
    message: /desired revision \(2\) is different from the running revision \(3\)/,
  })
})
