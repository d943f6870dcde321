import t from 'tap'
import { openWorld } from './world.ts'

const world = await openWorld(t.testdir())
t.teardown(() => world.close())
await world.helio('create namespace cell')

const pod = (name: string, hold?: string): string =>
  `apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: cell${hold === undefined ? '' : `, annotations: {heliopause.io/hold: "${hold}"}`}}
spec: {nodeName: press-1, containers: [{name: main, image: a:1}]}
`
const apply = (text: string) => world.helio('apply -f -', { stdin: text })

t.test('without holds there is nothing to show', async t => {
  t.same(await world.helio('hold list -n cell'), { code: 0, stdout: '', stderr: 'No pods are held in cell namespace\n' })
  t.equal((await world.helio('hold list -A')).stderr, 'No pods are held\n')
})

t.test('held pods are listed with who holds them, and where', async t => {
  await apply(
    `${pod('a', 'h-1 by alice at 2026-11-22T10:00:00Z: valve by the door at 3: stuck')}---\n${pod('b')}---\n${pod('c', 'something else')}`,
  )
  const { stdout } = await world.helio('hold list -n cell')
  t.match(
    stdout,
    /^NAME +NODE +BY +AGE +ID +REASON\na +press-1 +alice +\S+ +h-1 +valve by the door at 3: stuck\nc +press-1 +<none> +<unknown> +something else +<none>\n$/,
  )
  t.match((await world.helio('hold list -A')).stdout, /^NAMESPACE +NAME .*\ncell +a /)
  t.same(JSON.parse((await world.helio('hold list -n cell -o json')).stdout).items[0], {
    namespace: 'cell',
    name: 'a',
    node: 'press-1',
    id: 'h-1',
    by: 'alice',
    at: '2026-11-22T10:00:00Z',
    reason: 'valve by the door at 3: stuck',
  })
})

t.test('lifting removes the annotation, and no other', async t => {
  t.same(await world.helio('hold lift pod/a -n cell'), {
    code: 0,
    stdout: 'pod/a hold lifted\n',
    stderr: 'it runs again once press-1 hears of it\n',
  })
  t.notMatch((await world.helio('get pod a -n cell -o yaml')).stdout, 'heliopause.io/hold:')
  t.match((await world.helio('get pod c -n cell -o yaml')).stdout, 'heliopause.io/hold: something else')
})

t.test('what is not held, not there or not a command is said so', async t => {
  const { code, stdout, stderr } = await world.helio('hold lift b nope c -n cell')
  t.equal(code, 1)
  t.equal(stdout, 'pod/c hold lifted\n', 'the others are lifted all the same')
  t.match(stderr, /error: pod\/b is not held\nhint: helio hold list -A shows what is\n/)
  t.match(stderr, /Error from server \(NotFound\): pods "nope" not found/)
  t.match(await world.helio('hold lift -n cell'), { code: 2, stderr: /name the pod/ })
  t.match(await world.helio('hold press-0'), { code: 2, stderr: /a hold is made at the device: helio device hold POD/ })
})
