import t from 'tap'
import { kindByName } from '../../../src/kinds/index.ts'
import type { Kind } from '../../../src/kinds/kind.ts'
import { ADMIN, openWorld, type World } from './world.ts'

const kind = (name: string): Kind => {
  const found = kindByName(name)
  if (!found) throw new Error(`no kind ${name}`)
  return found
}

const world = await openWorld(t.testdir(), async (request, sink) => {
  for (const line of [`${request.container} one\n`, `${JSON.stringify(request.options)}\n`]) await sink.write(Buffer.from(line))
})
t.teardown(() => world.close())
await world.helio('create namespace default')
await world.helio('create ns web')

const page = (data: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: page, namespace: web}\ndata: ${data}\n`
const pod = (name: string, labels = '{app: web}'): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: web, labels: ${labels}}\nspec: {nodeName: n1, containers: [{name: main, image: a:1}, {name: side, image: b}]}\n`
const web = (image: string): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: main, image: "${image}"}]}}
`

const revisionOf = (of: World, name: string): string | undefined =>
  of.verbs.get({ kind: kind('ConfigMap'), namespace: 'web', name }).metadata.resourceVersion

t.test('apply creates, then changes, then leaves alone', async t => {
  const apply = (text: string) => world.helio('apply -f -', { stdin: text })
  t.same(await apply(`${page('{a: "1", b: "2"}')}---\n${web('a:1')}`), {
    code: 0,
    stdout: 'configmap/page created\ndeployment.apps/web created\n',
    stderr: '',
  })
  t.equal((await apply(page('{a: "1", b: "2"}'))).stdout, 'configmap/page unchanged\n')
  const before = revisionOf(world, 'page')
  t.equal((await apply(page('{a: "9"}'))).stdout, 'configmap/page configured\n')
  t.not(revisionOf(world, 'page'), before)
  t.same(world.verbs.get({ kind: kind('ConfigMap'), namespace: 'web', name: 'page' })['data'], { a: '9' })
})

t.test('apply with dry-run changes nothing, -o prints the objects', async t => {
  const before = revisionOf(world, 'page')
  for (const mode of ['client', 'server']) {
    const { stdout } = await world.helio(`apply -f - --dry-run=${mode}`, { stdin: page('{a: "7"}') })
    t.equal(stdout, `configmap/page configured (${mode === 'server' ? 'server ' : ''}dry run)\n`)
  }
  t.equal(revisionOf(world, 'page'), before)
  t.match((await world.helio('apply -f - -o json', { stdin: page('{a: "9"}') })).stdout, /"name": "page"/)
})

t.test('apply goes on after a bad manifest, ends with 1 and says why as kubectl does', async t => {
  const bad = web('a:1').replace('name: web,', 'name: bad,').replace('replicas: 2', 'replicas: -2')
  const ran = await world.helio('apply -f -', { stdin: `${bad}---\n${page('{a: "9"}')}` })
  t.equal(ran.code, 1)
  t.match(ran.stderr, /^The Deployment "bad" is invalid: spec\.replicas: Invalid value: -2/)
  t.equal(ran.stdout, 'configmap/page unchanged\n')
  const unknown = await world.helio('apply -f -', { stdin: 'apiVersion: x/v1\nkind: Foo\nmetadata: {name: a}\n' })
  t.match(unknown, { code: 1, stderr: /standard input: no matches for kind "Foo" in version "x\/v1"\nhint: / })
  t.match(await world.helio('apply -f -', { stdin: 'kind: Pod\n' }), { code: 1, stderr: /apiVersion is missing/ })
  t.match(await world.helio('apply -f -', { stdin: 'a: [1' }), { code: 1, stderr: /^error: read standard input: .*\n$/ })
  t.match(await world.helio('apply -f /nowhere.yaml'), { code: 1, stderr: /the path "\/nowhere.yaml" does not exist/ })
  t.match(await world.helio('apply page.yaml'), { code: 2, stderr: /did you mean -f page.yaml\?/ })
  t.match(await world.helio('apply -f - -n other', { stdin: page('{}') }), {
    code: 1,
    stderr: /does not match the namespace "other"\nhint: pass --namespace=web/,
  })
})

t.test('unknown fields are refused, warned of or dropped, as asked', async t => {
  const odd = page('{a: "9"}').replace('\ndata:', '\ndato: 1\ndata:')
  t.match(await world.helio('apply -f -', { stdin: odd }), { code: 1, stderr: /unknown field "dato"/ })
  t.match(await world.helio('apply -f - --validate=warn', { stdin: odd }), { code: 0, stderr: /Warning: .*unknown field "dato"/ })
  t.match(await world.helio('apply -f - --validate=false', { stdin: odd }), { code: 0, stderr: '' })
})

t.test('folders, lists and several documents are taken apart', async t => {
  const dir = t.testdir({
    'b.yaml': page('{}').replace('page', 'b'),
    'a.json': '{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}]}',
    'x.txt': 'no',
    in: { 'c.yml': page('{}').replace('page', 'c') },
  })
  t.equal((await world.helio(`apply -f ${dir}`)).stdout, 'configmap/a created\nconfigmap/b created\n')
  t.equal((await world.helio(`apply -R -f ${dir}`)).stdout, 'configmap/a unchanged\nconfigmap/b unchanged\nconfigmap/c created\n')
  t.equal(
    (await world.helio(`delete -R -f ${dir}`)).stdout,
    'configmap "a" deleted from default namespace\nconfigmap "b" deleted from web namespace\nconfigmap "c" deleted from web namespace\n',
  )
})

t.test('get prints the server’s tables, JSON, YAML and names', async t => {
  t.equal((await world.helio('get cm -n web --no-headers -o name')).stdout, 'configmap/page\n')
  t.match((await world.helio('get deploy -n web')).stdout, /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0\/2 +0 +0 +\S+\n$/)
  t.match((await world.helio('get deploy/web cm/page -n web')).stdout, /^NAME.*\ndeployment.apps\/web .*\n\nNAME.*\nconfigmap\/page .*\n$/)
  t.match((await world.helio('get deploy -A')).stdout, /^NAMESPACE +NAME.*\nweb +web /)
  t.match((await world.helio('get ns --show-labels')).stdout, /LABELS\n.*kubernetes.io\/metadata.name=default/)
  t.match((await world.helio('get deploy -n web -o wide')).stdout, /CONTAINERS +IMAGES +SELECTOR\n/)
  t.equal(JSON.parse((await world.helio('get deploy web -n web -o json')).stdout).kind, 'Deployment')
  t.match(JSON.parse((await world.helio('get cm -n web -o json')).stdout), {
    kind: 'List',
    items: [{ kind: 'ConfigMap', apiVersion: 'v1' }],
  })
  t.match((await world.helio('get cm page -n web -o yaml')).stdout, /^apiVersion: v1\ndata:\n {2}a: "9"\nkind: ConfigMap\n/)
  t.match((await world.helio('get ns --sort-by .metadata.name --no-headers')).stdout, /^default .*\nweb /)
})

t.test('get says what is not there', async t => {
  t.same(await world.helio('get pods -n web'), { code: 0, stdout: '', stderr: 'No resources found in web namespace.\n' })
  t.same(await world.helio('get pods -A'), { code: 0, stdout: '', stderr: 'No resources found\n' })
  t.same(await world.helio('get cm page nope -n web --no-headers -o name'), {
    code: 1,
    stdout: 'configmap/page\n',
    stderr: 'Error from server (NotFound): configmaps "nope" not found\n',
  })
  t.same(await world.helio('get cm nope --ignore-not-found'), { code: 0, stdout: '', stderr: '' })
  t.same(await world.helio('get podz'), {
    code: 1,
    stdout: '',
    stderr: 'error: the server doesn\'t have a resource type "podz"\nhint: did you mean pod?\n',
  })
  t.match(await world.helio('get'), { code: 2, stderr: /say which resource\nhint: / })
})

t.test('lists longer than a chunk come whole', async t => {
  for (let i = 0; i < 510; i++)
    await world.verbs.create(
      ADMIN,
      { kind: kind('ConfigMap'), namespace: 'default' },
      { metadata: { name: `many-${String(i).padStart(3, '0')}`, labels: { many: '1' } } },
    )
  const { stdout } = await world.helio('get cm -l many --no-headers')
  t.equal(stdout.trimEnd().split('\n').length, 510)
  t.equal((await world.helio('delete cm -l many')).stdout.trimEnd().split('\n').length, 510)
})

t.test('get -w prints what is there and then each change, until interrupted', async t => {
  const stop = new AbortController()
  const seen = (text: string): void => {
    const lines = text.trimEnd().split('\n')
    if (lines.length === 2) void world.helio(['create', 'configmap', 'later', '--from-literal=a=1', '-n', 'web'])
    if (lines.length === 3) stop.abort()
  }
  const ran = await world.helio('get cm -n web -w', { signal: stop.signal, onStdout: seen })
  t.equal(ran.code, 130)
  t.match(ran.stdout, /^NAME +DATA +AGE\npage +1 .*\nlater +1 .*\n$/)
  await world.helio('delete cm later -n web')
})

t.test('logs go to the named, the default and all containers; a workload’s name picks a pod', async t => {
  await world.helio('create -f -', { stdin: `${pod('p1')}---\n${pod('p2', '{app: other}')}` })
  t.match(await world.helio('logs p1 -n web --tail=3 --since=90s'), {
    code: 0,
    stderr: 'Defaulted container "main" out of: main, side\n',
    stdout: /^main one\n\{.*"tailLines":"?3"?.*\}\n$/,
  })
  t.match((await world.helio('logs p1 -c side -n web')).stdout, /^side one\n/)
  t.match((await world.helio('logs deploy/web -c main --prefix -n web')).stdout, /^\[pod\/p1\/main\] main one\n/)
  t.match((await world.helio('logs p1 --all-containers -n web')).stdout, /main one\n[\s\S]*side one\n/)
  t.match(await world.helio('logs p1 -c nope -n web'), {
    code: 1,
    stderr: /container nope is not valid for pod p1\nhint: it has main, side/,
  })
  t.match(await world.helio('logs p1 side -n web'), { code: 2, stderr: /did you mean -c side\?/ })
  t.match(await world.helio('logs nope -n web'), { code: 1, stderr: 'Error from server (NotFound): pods "nope" not found\n' })
})

t.test('scale sets replicas, and refuses when the present number is another', async t => {
  t.equal((await world.helio('scale deployment/web --replicas=5 -n web')).stdout, 'deployment.apps/web scaled\n')
  t.match(await world.helio('scale deploy web --replicas=6 --current-replicas=4 -n web'), {
    code: 1,
    stderr: /expected replicas to be 4, was 5/,
  })
  t.equal((await world.helio('scale deploy web --replicas=6 --current-replicas=5 -n web')).code, 0)
  t.match(await world.helio('scale deploy web -n web'), { code: 2, stderr: /--replicas=COUNT flag is required/ })
})

t.test('set image changes the named container', async t => {
  t.equal((await world.helio('set image deployment/web main=a:5 -n web')).stdout, 'deployment.apps/web image updated\n')
  t.match((await world.helio('get deploy -n web -o wide')).stdout, /a:5/)
  t.match(await world.helio('set image deployment/web nope=a:5 -n web'), {
    code: 1,
    stderr: /unable to find container named "nope".*\nhint: it has main/,
  })
})

t.test('delete by name waits until the object is gone, by selector takes those that match', async t => {
  t.same(await world.helio('delete cm page -n web'), { code: 0, stdout: 'configmap "page" deleted from web namespace\n', stderr: '' })
  t.match(await world.helio('delete pods -l app=other -n web --force'), { code: 0, stdout: 'pod "p2" force deleted from web namespace\n' })
  t.match(await world.helio('delete cm page -n web'), { code: 1, stderr: /configmaps "page" not found/ })
  t.match(await world.helio('delete pods -n web'), { code: 2, stderr: /no name was specified/ })
  t.match(await world.helio('delete pods p1 --all -n web'), { code: 2 })
})

t.test('what a deleted namespace took with it is not missing', async t => {
  const text = `apiVersion: v1\nkind: Namespace\nmetadata: {name: brief}\n---\n${page('{}').replace('namespace: web', 'namespace: brief')}`
  t.match(await world.helio('delete -f -', { stdin: page('{}').replace('namespace: web', 'namespace: brief') }), { code: 1 })
  await world.helio('create ns brief')
  t.match(await world.helio('delete -f - --wait=false', { stdin: text }), {
    code: 0,
    stdout: 'namespace "brief" deleted\nconfigmap "page" deleted with its namespace\n',
    stderr: '',
  })
})

t.test('delete gives up at its timeout while a finalizer holds the object', async t => {
  await world.helio('apply -f -', { stdin: page('{}').replace('namespace: web', 'namespace: web, finalizers: [example.com/hold]') })
  const ran = await world.helio('delete cm page -n web --timeout=50ms')
  t.match(ran, { code: 1, stderr: /timed out waiting: 1 of 1 objects are still there\nhint: finalizers/ })
})

t.test('create makes objects from flags and refuses what exists', async t => {
  const dir = t.testdir({ 'a.txt': 'A', 'bin.dat': Buffer.from([0xff, 0xfe]) })
  t.equal(
    (await world.helio(['create', 'configmap', 'made', '--from-literal=k=v=w', `--from-file=${dir}`])).stdout,
    'configmap/made created\n',
  )
  const made = JSON.parse((await world.helio('get cm made -o json')).stdout)
  t.same([made.data, made.binaryData], [{ k: 'v=w', 'a.txt': 'A' }, { 'bin.dat': '//4=' }])
  t.match(await world.helio('create configmap made'), {
    code: 1,
    stderr: 'Error from server (AlreadyExists): configmaps "made" already exists\n',
  })
  t.equal((await world.helio('create secret generic s --from-literal=password=x')).stdout, 'secret/s created\n')
  t.match((await world.helio('describe secret s')).stdout, /password: +1 bytes/)
  t.match(
    (await world.helio('create deployment d --image=r.io/app:1 --replicas=3 --dry-run=client -o yaml -- run it')).stdout,
    /replicas: 3[\s\S]*- command:\n +- run\n +- it\n +image: r.io\/app:1\n +name: app\n/,
  )
  t.match(await world.helio('create deploymnt d'), { code: 2, stderr: /did you mean deployment\?/ })
})
