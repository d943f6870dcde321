// The essential commands of a stock kubectl against the real server, without an agent: what it prints and with which exit code.
// Run with $KUBECTL or the one in PATH; loudly skipped when there is none.

import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type CommandResult, findKubectl, freePort, type Running, run, startServer, temporaryDir, wipe } from './cluster.ts'

const kubectl = findKubectl()
const dir = temporaryDir()
const cluster: { server?: Running } = {}

const k = (line: string, input?: string, env: Record<string, string> = {}): Promise<CommandResult> =>
  run(
    kubectl!,
    ['--kubeconfig', join(dir, 'kubeconfig'), '--cache-dir', join(dir, 'cache'), ...line.split(' ')],
    input?.replace(/^{/, '---\n{'),
    env,
  )

const out = async (line: string, input?: string): Promise<string> => {
  const { code, stdout, stderr } = await k(line, input)
  if (code !== 0) throw new Error(`kubectl ${line}: ${stderr}`)
  return stdout
}

/** What a command that fails says, without the lines about version skew. */
const refused = async (line: string, input?: string): Promise<string> => {
  const { code, stderr, stdout } = await k(line, input)
  if (code === 0) throw new Error(`kubectl ${line} did not fail: ${stdout}`)
  return stderr
}

const APP = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: page, namespace: shop, labels: {app: web}}
data: {greeting: hello}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "busybox:1", ports: [{containerPort: 80}]}]}
`
const configMap = (name: string, rest: string): string =>
  `{apiVersion: v1, kind: ConfigMap, metadata: {name: ${name}, namespace: shop}, ${rest}}`

t.before(async () => {
  if (kubectl) cluster.server = await startServer(dir, await freePort(), '--no-agent', '--cluster-cidr', '10.230.0.0/16')
})
t.teardown(async () => {
  await cluster.server?.stop()
  wipe(dir)
})

const scenario = (name: string, body: (t: Test) => Promise<void>): void => {
  const skip = kubectl ? false : 'NO KUBECTL FOUND: set $KUBECTL to run this scenario'
  t.test(name, { skip }, body)
}

scenario('what the cluster offers', async t => {
  t.match(await out('version'), /Server Version: .*v1\.36/)
  t.match(await out('api-versions'), /^apps\/v1$/m)
  t.match(await out('api-resources'), /^deployments +deploy +apps\/v1 +true +Deployment$/m)
  t.match(await out('cluster-info'), /Kubernetes control plane.*is running at/)
  t.equal(await out('get --raw /healthz'), 'ok')
  t.match(await out('explain pod.spec.containers.image'), /FIELD: image <string>/)
  t.equal(await out('auth can-i delete nodes'), 'yes\n')
})

scenario('apply, diff, get in every form, describe', async t => {
  t.equal(await out('apply -f -', APP), 'namespace/shop created\nconfigmap/page created\ndeployment.apps/web created\n')
  t.equal(await out('apply -f -', APP), 'namespace/shop unchanged\nconfigmap/page unchanged\ndeployment.apps/web unchanged\n')
  const changed = APP.replace('greeting: hello', 'greeting: hi')
  const diff = await k('diff -f -', changed)
  t.equal(diff.code, 1)
  t.match(diff.stdout, /- {2}greeting: hello\n\+ {2}greeting: hi/)
  t.match(await out('apply -f - --dry-run=server', changed), /configmap\/page configured \(server dry run\)/)
  t.match(await out('apply -f -', changed), /configmap\/page configured\n/)
  t.match(await out('get deploy,cm -n shop'), /deployment.apps\/web +0\/2[\s\S]*configmap\/page +1 /)
  t.match(await out('get deploy web -n shop -o wide'), /CONTAINERS +IMAGES +SELECTOR\nweb .* web +busybox:1 +app=web/)
  t.equal(await out('get cm -n shop -l app=web -o name'), 'configmap/page\n')
  t.equal(await out('get cm page -n shop -o jsonpath={.data.greeting}'), 'hi')
  t.match(await out('get cm -A --field-selector=metadata.name=page --no-headers -o custom-columns=N:.metadata.name'), /^page\n$/)
  t.match(await out('get ns --show-labels --sort-by=.metadata.name'), /shop +Active .*kubernetes.io\/metadata.name=shop/)
  t.match(await out('get deploy web -n shop --subresource=scale'), /NAME +DESIRED +AVAILABLE +AGE\nweb +2 /)
  t.match(await out('describe deploy web -n shop'), /Replicas: +2 desired[\s\S]*ScalingReplicaSet .*Scaled up replica set/)
  t.match(await out('events -n shop --for deployment/web'), /ScalingReplicaSet/)
})

scenario('every way to change an object', async t => {
  t.equal(await out('label cm page -n shop tier=a'), 'configmap/page labeled\n')
  t.match(await refused('label cm page -n shop tier=b'), /already has a value \(a\), and --overwrite is false/)
  t.match(await out('annotate cm page -n shop note=1'), /configmap\/page annotate/)
  t.match(await out('patch cm page -n shop -p {"data":{"b":"1"}}'), /patched\n/)
  t.match(await out('patch cm page -n shop -p {"data":{"b":"1"}}'), /patched \(no change\)/)
  t.match(await out('patch cm page -n shop --type=merge -p {"data":{"b":null}}'), /patched\n/)
  t.match(await refused('patch cm page -n shop --type=json -p [{"op":"remove","path":"/data/b"}]'), /doc is missing path: "\/data\/b"/)
  t.match(await out('replace -f -', configMap('page', 'data: {a: "1"}')), /configmap\/page replaced/)
  const editor = join(dir, 'editor')
  writeFileSync(editor, '#!/bin/sh\nsed -i \'s/a: "1"/a: "2"/\' "$1"\n')
  chmodSync(editor, 0o755)
  t.match((await k('edit cm page -n shop', undefined, { KUBE_EDITOR: editor })).stdout, /configmap\/page edited/)
  t.equal(await out('get cm page -n shop -o jsonpath={.data.a}'), '2')
  t.equal(await out('scale deploy web -n shop --replicas=3'), 'deployment.apps/web scaled\n')
  t.equal(await out('set image deploy/web -n shop web=busybox:2'), 'deployment.apps/web image updated\n')
  t.equal(await out('set env deploy/web -n shop A=1'), 'deployment.apps/web env updated\n')
  t.equal(
    await out('wait deploy/web -n shop --for=jsonpath={.status.observedGeneration}=4 --timeout=10s'),
    'deployment.apps/web condition met\n',
  )
  t.match(await out('rollout history deploy/web -n shop'), /REVISION +CHANGE-CAUSE\n1 +<none>\n2 +<none>\n3 +<none>/)
  t.match(await out('rollout undo deploy/web -n shop --to-revision=1'), /deployment.apps\/web rolled back/)
  t.equal(await out('get deploy web -n shop -o jsonpath={..image}'), 'busybox:1')
  t.match(await out('rollout pause deploy/web -n shop'), /paused/)
  t.match(await refused('rollout restart deploy/web -n shop'), /can't restart paused deployment/)
  t.match(await out('rollout resume deploy/web -n shop'), /resumed/)
})

scenario('server-side apply: owners, conflicts, force, and what is no longer said', async t => {
  t.equal(await out('apply --server-side -f -', configMap('ssa', 'data: {a: "1", b: "1"}')), 'configmap/ssa serverside-applied\n')
  t.match(await out('get cm ssa -n shop --show-managed-fields -o yaml'), /f:data:[\s\S]*manager: kubectl\n +operation: Apply/)
  await out('patch cm ssa -n shop -p {"data":{"a":"2"}} --field-manager=hand')
  t.match(
    await refused('apply --server-side -f -', configMap('ssa', 'data: {a: "1"}')),
    /1 conflict: conflict with "hand" using v1 at .*: .data.a/,
  )
  await out('apply --server-side --force-conflicts -f -', configMap('ssa', 'data: {a: "1"}'))
  t.equal(await out('get cm ssa -n shop -o jsonpath={.data}'), '{"a":"1"}')
  await out('apply -f -', configMap('csa', 'data: {a: "1", b: "1"}'))
  await out('apply --server-side -f -', configMap('csa', 'data: {a: "2"}'))
  await out('apply --server-side -f -', configMap('csa', 'data: {a: "2"}'))
  t.equal(await out('get cm csa -n shop -o jsonpath={.data}'), '{"a":"2"}', 'kubectl has moved it from client-side apply')
})

scenario('generators, nodes and their taints', async t => {
  t.match(await out('create deployment d -n shop --image=busybox'), /deployment.apps\/d created/)
  t.match(await out('create configmap c -n shop --from-literal=a=1'), /configmap\/c created/)
  t.match(await out('create secret generic s -n shop --from-literal=p=w'), /secret\/s created/)
  t.match(await out('create service clusterip v -n shop --tcp=80:8080'), /service\/v created/)
  t.match(await out('create serviceaccount sa -n shop'), /serviceaccount\/sa created/)
  t.match(await out('run p -n shop --image=busybox'), /pod\/p created/)
  t.match(await out('apply -f -', '{apiVersion: v1, kind: Node, metadata: {name: n1}}'), /node\/n1 created/)
  t.match(await out('taint nodes n1 a=b:NoSchedule'), /node\/n1 tainted/)
  t.match(await out('cordon n1'), /node\/n1 cordoned/)
  t.match(await out('get node n1'), /n1 +(NotReady|Unknown),SchedulingDisabled/)
  t.match(await out('drain n1 --force'), /node\/n1 (drained|already cordoned)/)
  t.match(await out('uncordon n1'), /node\/n1 uncordoned/)
})

scenario('what is wrong is said as upstream says it', async t => {
  t.match(await refused('apply -f -', configMap('u', 'foo: 1')), /\(BadRequest\): .*strict decoding error: unknown field "foo"/)
  t.match((await k('apply --validate=warn -f -', configMap('u', 'foo: 1'))).stderr, /Warning: unknown field "foo"/)
  t.match(
    await refused('apply -f -', '{apiVersion: v1, kind: Widget, metadata: {name: a}}'),
    /no matches for kind "Widget" in version "v1"/,
  )
  t.match(
    await refused('apply -f -', '{apiVersion: x.io/v1, kind: Widget, metadata: {name: a}}'),
    /no matches for kind "Widget" in version "x.io\/v1"/,
  )
  t.match(
    await refused('apply -f -', configMap('Bad_Name', 'data: {}')),
    /The ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value/,
  )
  t.match(await refused('create -f -', configMap('page', 'data: {}')), /\(AlreadyExists\): .*configmaps "page" already exists/)
  t.match(await refused('get cm nope -n shop'), /Error from server \(NotFound\): configmaps "nope" not found/)
  t.match(await refused('get widgets'), /the server doesn't have a resource type "widgets"/)
  t.match(
    await refused('get cm -A --field-selector=foo=bar'),
    /: "foo" is not a known field selector: only "metadata.name", "metadata.namespace"\n/,
  )
  const selector = await refused('patch deploy web -n shop -p {"spec":{"selector":{"matchLabels":{"app":"x"}}}}')
  t.match(selector, /The Deployment "web" is invalid: /)
  t.match(await refused('scale deploy web -n shop --replicas=1 --current-replicas=9'), /Expected replicas to be 9/)
  t.match(await refused('rollout undo deploy/web -n shop --to-revision=99'), /unable to find specified revision 99 in history/)
  t.match(await refused('exec -n shop p -- ls'), /the server could not find the requested resource|pod p does not have a host assigned/)
})

scenario('deleting: dry run, finalizers, cascades, a whole namespace', async t => {
  t.match(await out('delete cm/c -n shop --dry-run=server'), /deleted.*\(server dry run\)/)
  t.match(await out('delete cm/c secret/s -n shop -o name'), /configmap\/c\nsecret\/s/)
  t.match(await refused('delete cm nope -n shop'), /NotFound/)
  await out('apply -f -', `{apiVersion: v1, kind: ConfigMap, metadata: {name: held, namespace: shop, finalizers: [x.io/hold]}}`)
  await out('delete cm held -n shop --wait=false')
  t.match(await out('get cm held -n shop -o jsonpath={.metadata.deletionTimestamp}'), /^2/)
  await out('patch cm held -n shop --type=merge -p {"metadata":{"finalizers":null}}')
  t.equal((await k('wait --for=delete cm/held -n shop --timeout=10s')).code, 0)
  await out('delete deploy d -n shop --cascade=orphan')
  t.match(await out('get rs -n shop -l app=d -o name'), /replicaset.apps\/d-/)
  await out('delete rs -n shop -l app=d --cascade=foreground --timeout=20s')
  t.equal((await k('wait --for=delete pod -n shop -l app=d --timeout=10s')).code, 0)
  t.match(await out('delete ns shop --timeout=30s'), /namespace "shop" deleted/)
  t.match(await refused('get ns shop'), /NotFound/)
})
