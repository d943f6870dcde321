import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readEndpoint } from '../../../src/cli/kubeconfig.ts'

const CONFIG = {
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [
    { name: 'c', cluster: { server: 'https://h:1/', 'certificate-authority': 'ca.pem' } },
    { name: 'd', cluster: { server: 'https://d' } },
  ],
  users: [
    { name: 'u', user: { 'client-certificate-data': Buffer.from('CERT').toString('base64'), 'client-key': 'key.pem', token: 'secret' } },
    { name: 'x', user: { exec: { command: 'aws' } } },
  ],
  contexts: [
    { name: 'one', context: { cluster: 'c', user: 'u', namespace: 'web' } },
    { name: 'two', context: { cluster: 'd', user: 'x' } },
  ],
  'current-context': 'one',
}

t.test('reads the context’s server, credentials inline and from files beside it', async t => {
  const dir = t.testdir({ kubeconfig: JSON.stringify(CONFIG), 'ca.pem': 'CA', 'key.pem': 'KEY' })
  const endpoint = await readEndpoint({ flag: undefined, env: {}, dataDir: dir, context: undefined })
  t.match(endpoint, {
    server: 'https://h:1',
    caPem: 'CA',
    certPem: 'CERT',
    keyPem: 'KEY',
    token: 'secret',
    namespace: 'web',
    insecure: false,
  })
  const viaEnv = await readEndpoint({ flag: undefined, env: { KUBECONFIG: `${dir}/kubeconfig` }, dataDir: '/nowhere', context: undefined })
  t.equal(viaEnv.context, 'one')
})

t.test('says what is wrong with it and what to do', async t => {
  const dir = t.testdir({ kubeconfig: JSON.stringify(CONFIG), 'ca.pem': 'CA', 'key.pem': 'KEY' })
  const read = (flag: string | undefined, dataDir = dir, context?: string) => readEndpoint({ flag, env: {}, dataDir, context })
  await t.rejects(read(undefined, '/nowhere'), { message: /no such file/, hint: /is the server running here/ })
  await t.rejects(read('/nowhere'), { message: /no such file/, hint: 'check --kubeconfig' })
  await t.rejects(read(undefined, dir, 'three'), { message: /context "three" is not in it/ })
  await t.rejects(read(undefined, dir, 'two'), { message: /credential plugins are not supported/ })
  for (const [name, text] of [
    ['list', '- a'],
    ['broken', '{"a": '],
    ['tabs', 'a:\n\t- b: ]'],
  ] as const) {
    writeFileSync(join(dir, name), text)
    await t.rejects(read(join(dir, name)), { message: new RegExp(`^read kubeconfig .*${name}: .+`) }, name)
  }
})
