import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import t from 'tap'
import { warningTexts } from '../../../src/cli/client.ts'
import { refusalText } from '../../../src/cli/failure.ts'
import { openWorld } from './world.ts'

t.test('a server that does not listen, another one and no kubeconfig each get one line and a hint', async t => {
  const world = await openWorld(t.testdir())
  t.teardown(() => world.close())
  const other = await openWorld(`${world.dir}/other`)
  t.teardown(() => other.close())
  const closed = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => closed.once('listening', resolve))
  const { port } = closed.address() as AddressInfo
  await new Promise(resolve => closed.close(resolve))
  const config = readFileSync(`${world.dir}/kubeconfig`, 'utf8')
  const refused = world.file('refused', config.replace(world.url, `https://127.0.0.1:${port}`))
  const stranger = world.file('stranger', config.replace(world.url, other.url))
  t.same(await world.helio(`get pods --kubeconfig ${refused}`), {
    code: 1,
    stdout: '',
    stderr: `error: connect to https://127.0.0.1:${port}: connection refused\nhint: is the server running? helio server --data-dir DIR\n`,
  })
  const two = world.file('two.yaml', ['a', 'b'].map(name => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n`).join('---\n'))
  for (const verb of ['apply', 'create', 'delete'])
    t.equal((await world.helio(`${verb} -f ${two} --kubeconfig ${refused}`)).stderr.match(/refused/g)?.length, 1, `${verb} says it once`)
  t.match(await world.helio(`get pods --kubeconfig ${stranger}`), { code: 1, stderr: /not signed by the kubeconfig's authority\nhint: / })
  t.match(await world.helio(`get pods --data-dir ${world.dir}/nowhere`), {
    code: 1,
    stderr: /no such file\nhint: is the server running here/,
  })
})

t.test('a certificate the server does not know is refused as kubectl says it', async t => {
  const world = await openWorld(t.testdir())
  t.teardown(() => world.close())
  const config = readFileSync(`${world.dir}/kubeconfig`, 'utf8').replace(/user: \{.*\}\n/, 'user: {}\n')
  t.match(await world.helio(`get pods --kubeconfig ${world.file('anonymous', config)}`), {
    code: 1,
    stderr: /You must be logged in to the server.*\nhint: the certificate or token/,
  })
})

t.test('refusals are worded as kubectl words them', async t => {
  const base = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure' } as const
  t.equal(
    refusalText({ ...base, reason: 'NotFound', message: 'pods "x" not found', code: 404 }),
    'Error from server (NotFound): pods "x" not found',
  )
  const causes = [
    { reason: 'FieldValueRequired', field: 'spec.a', message: 'Required value' },
    { reason: 'FieldValueInvalid', field: 'spec.b', message: 'Invalid value: 1' },
  ]
  const details = { kind: 'Pod', name: 'x' }
  t.equal(
    refusalText({ ...base, reason: 'Invalid', details: { ...details, causes: causes.slice(0, 1) } }),
    'The Pod "x" is invalid: spec.a: Required value',
  )
  t.equal(
    refusalText({ ...base, reason: 'Invalid', details: { ...details, causes } }),
    'The Pod "x" is invalid: \n* spec.a: Required value\n* spec.b: Invalid value: 1',
  )
})

t.test('warning headers are taken apart', async t => {
  t.same(warningTexts('299 - "unknown field \\"a\\"", 299 - "b, c"'), ['unknown field "a"', 'b, c'])
  t.same(warningTexts(undefined), [])
})
