import t from 'tap'
import { CONFLICT, conflictMessage, FOLLOW } from '../../../src/kinds/conflict.ts'
import { kindByName } from '../../../src/kinds/index.ts'
import type { Node } from '../../../src/kinds/node.ts'
import { ADMIN, openWorld } from './world.ts'

const world = await openWorld(t.testdir())
t.teardown(() => world.close())

const kind = kindByName('Node')!
const at = (name: string) => ({ kind, namespace: '', name })
const node = (name: string): Node => world.verbs.get(at(name)) as unknown as Node
const condition = (type: string, reason: string, message: string) => ({ type, status: 'True', reason, message })
const conflict = (name: string, epoch: string) =>
  condition(CONFLICT, 'ServerRestored', conflictMessage(name, { held: { epoch: 'old', generation: 9 }, epoch, base: 4 }))
const online = condition('heliopause.io/Contact', 'Online', '')

for (const [name, conditions] of [
  ['a', [online, conflict('a', 'e2')]],
  ['b', [online]],
  ['c', [conflict('c', 'e2')]],
  ['d', []],
] as const) {
  await world.verbs.create(ADMIN, { kind, namespace: '' }, { metadata: { name, annotations: { keep: 'me' } } })
  const status = { conditions }
  await world.verbs.patch(ADMIN, { ...at(name), subresource: 'status' }, { status }, 'merge')
}
const decided = (name: string): string | undefined => node(name).metadata.annotations?.[FOLLOW]

t.test('follow writes the epoch the node is in conflict with, and says what comes', async t => {
  t.match(await world.helio('node follow node/a'), {
    code: 0,
    stdout: 'node/a is to follow\n',
    stderr: /pods this server does not know end there/,
  })
  t.same(node('a').metadata.annotations, { keep: 'me', [FOLLOW]: 'e2' })
  t.equal(decided('c'), undefined)
})

t.test('follow refuses where there is nothing to decide, and does the others', async t => {
  const { code, stdout, stderr } = await world.helio('node follow b d nope c')
  t.equal(code, 1)
  t.equal(stdout, 'node/c is to follow\n')
  t.match(stderr, /node\/b is not in conflict with this server\nhint: helio get nodes shows which are\n/)
  t.match(stderr, /node\/d is not in conflict with this server\nhint: it has not called since: decide when it has\n/)
  t.match(stderr, /nodes "nope" not found/)
  t.same(['b', 'd'].map(decided), [undefined, undefined])
})

t.test('--all takes those in conflict', async t => {
  t.match(await world.helio('node follow --all'), { code: 0, stdout: 'node/a is to follow\nnode/c is to follow\n' })
  t.match(await world.helio('node follow --all a'), { code: 2 })
  t.match(await world.helio('node follow'), { code: 2, stderr: /name the node, or give --all/ })
})

t.test('fence declares a node dead and keeps other taints; unfence takes it back', async t => {
  const own = { key: 'line', value: 'two', effect: 'NoSchedule' }
  await world.verbs.patch(
    ADMIN,
    at('d'),
    { spec: { taints: [own, { key: 'node.kubernetes.io/out-of-service', value: 'fence-after', effect: 'NoExecute' }] } },
    'merge',
  )
  t.match(await world.helio('node fence d'), { code: 0, stdout: 'node/d fenced\n', stderr: /both run until it calls again/ })
  t.match(node('d').spec?.taints, [own, { key: 'node.kubernetes.io/out-of-service', value: 'operator', effect: 'NoExecute' }])
  t.match(await world.helio('node fence d'), { code: 1, stderr: /node\/d is fenced already/ })
  t.match(await world.helio('node fence a'), { code: 0, stderr: /a is in contact: nothing happens until it falls silent/ })
  t.match(await world.helio('node unfence a d'), { code: 0, stdout: 'node/a unfenced\nnode/d unfenced\n' })
  t.match([node('a').spec?.taints ?? [], node('d').spec?.taints], [[], [own]])
  t.match(await world.helio('node unfence a'), { code: 1, stderr: /node\/a is not fenced/ })
})

t.test('what is not a command is said so', async t => {
  t.match(await world.helio('node'), { code: 2, stderr: /there is: node follow, fence, unfence/ })
  t.match(await world.helio('node folow a'), { code: 2, stderr: /did you mean follow\?/ })
  t.match(await world.helio('node fence'), { code: 2, stderr: /name the node/ })
  t.match(await world.helio('node fence --all'), { code: 2, stderr: /--all is for follow/ })
})
