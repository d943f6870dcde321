import t from 'tap'
import type { KubeObject } from '../../../src/base/object.ts'
import { kindByName } from '../../../src/kinds/index.ts'
import { ADMIN, openWorld } from './world.ts'

const world = await openWorld(t.testdir())
t.teardown(() => world.close())
await world.helio('create namespace default')

const target = (kind: string, name: string) => ({ kind: kindByName(kind)!, namespace: 'default', name })
const REVISION = 'deployment.kubernetes.io/revision'

/** What the Deployment controller would have left: a ReplicaSet per revision, the newest one current. */
const setRevisions = async (images: readonly string[]): Promise<void> => {
  await world.helio('create -f -', {
    stdin: `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: main, image: "${images[images.length - 1]}"}]}}}
`,
  })
  const deployment = world.verbs.get(target('Deployment', 'web'))
  await world.verbs.patch(ADMIN, target('Deployment', 'web'), { metadata: { annotations: { [REVISION]: String(images.length) } } }, 'merge')
  for (const [i, image] of images.entries()) {
    const labels = { app: 'web', 'pod-template-hash': `h${i}` }
    await world.verbs.create(ADMIN, target('ReplicaSet', ''), {
      metadata: {
        name: `web-h${i}`,
        labels,
        annotations: { [REVISION]: String(i + 1), ...(i === 0 ? { 'kubernetes.io/change-cause': 'first' } : {}) },
        ownerReferences: [{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: deployment.metadata.uid, controller: true }],
      },
      spec: {
        replicas: 0,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'main', image }] } },
      },
    })
  }
}

const imageOf = (object: KubeObject): string =>
  (object.spec as { template: { spec: { containers: { image: string }[] } } }).template.spec.containers[0]?.image ?? ''

const report = (status: Record<string, unknown>): Promise<KubeObject> =>
  world.verbs.patch(ADMIN, { ...target('Deployment', 'web'), subresource: 'status' }, { status }, 'merge')

await setRevisions(['a:1', 'a:2', 'a:3'])

t.test('history lists the revisions with their causes, and shows one', async t => {
  t.equal(
    (await world.helio('rollout history deploy/web')).stdout,
    'deployment.apps/web \nREVISION   CHANGE-CAUSE\n1          first\n2          <none>\n3          <none>\n\n',
  )
  t.match(
    (await world.helio('rollout history deploy/web --revision=2')).stdout,
    /^deployment.apps\/web with revision #2\n[\s\S]*image: a:2\n/,
  )
  t.match(await world.helio('rollout history deploy/web --revision=9'), {
    code: 1,
    stderr: /unable to find the specified revision 9\nhint: there are 1, 2, 3/,
  })
})

t.test('undo goes back one revision, or to a given one, and knows when there is nothing to do', async t => {
  t.equal((await world.helio('rollout undo deployment/web')).stdout, 'deployment.apps/web rolled back\n')
  t.equal(imageOf(world.verbs.get(target('Deployment', 'web'))), 'a:2')
  t.notMatch(JSON.stringify(world.verbs.get(target('Deployment', 'web')).spec), /pod-template-hash/)
  t.equal((await world.helio('rollout undo deployment/web --to-revision=1')).stdout, 'deployment.apps/web rolled back\n')
  t.equal(imageOf(world.verbs.get(target('Deployment', 'web'))), 'a:1')
  t.match(
    (await world.helio('rollout undo deployment/web --to-revision=1')).stdout,
    /skipped rollback \(current template already matches revision 1\)/,
  )
  t.match(await world.helio('rollout undo deployment/web --to-revision=9'), { code: 1, stderr: /unable to find specified revision 9/ })
})

t.test('status follows a rollout to its end', async t => {
  const generation = world.verbs.get(target('Deployment', 'web')).metadata.generation
  const next = [
    { observedGeneration: generation, replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 0 },
    { observedGeneration: generation, replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1 },
  ]
  const seen = (text: string): void => {
    const status = next[text.trimEnd().split('\n').length - 1]
    if (status) void report(status)
  }
  const ran = await world.helio('rollout status deployment/web --timeout=20s', { onStdout: seen })
  t.same(ran, {
    code: 0,
    stderr: '',
    stdout:
      'Waiting for deployment spec update to be observed...\n' +
      'Waiting for deployment "web" rollout to finish: 0 of 1 updated replicas are available...\n' +
      'deployment "web" successfully rolled out\n',
  })
})

t.test('restart, pause and resume change the template or the flag, and refuse what makes no sense', async t => {
  t.equal((await world.helio('rollout restart deploy/web')).stdout, 'deployment.apps/web restarted\n')
  t.match(JSON.stringify(world.verbs.get(target('Deployment', 'web')).spec), /kubectl.kubernetes.io\/restartedAt/)
  t.equal((await world.helio('rollout pause deploy/web')).stdout, 'deployment.apps/web paused\n')
  t.match(await world.helio('rollout pause deploy/web'), { code: 1, stderr: /already paused/ })
  t.match(await world.helio('rollout restart deploy/web'), { code: 1, stderr: /paused deployment\nhint: resume it first/ })
  t.match(await world.helio('rollout undo deploy/web'), { code: 1, stderr: /cannot rollback a paused deployment/ })
  t.equal((await world.helio('rollout resume deploy/web')).stdout, 'deployment.apps/web resumed\n')
  t.match(await world.helio('rollout resume deploy/web'), { code: 1, stderr: /not paused/ })
})

t.test('status gives up at its timeout and says what it waited for', async t => {
  t.match(await world.helio('rollout status deploy/web --timeout=50ms'), {
    code: 1,
    stderr: /timed out waiting for the condition\nhint: it last said: Waiting for deployment spec update/,
  })
})

t.test('refuses other kinds, other words and nothing', async t => {
  t.match(await world.helio('rollout status cm/x'), { code: 1, stderr: /rollout works on deployments, not on configmaps/ })
  t.match(await world.helio('rollout statsu deploy/web'), { code: 2, stderr: /did you mean status\?/ })
  t.match(await world.helio('rollout status'), { code: 2 })
})
