import t from 'tap'
import { decodeProtobuf } from '../../../src/api/protobuf.ts'
import { kindOfObject } from '../../../src/kinds/index.ts'
import { createRig } from './rig.ts'

const PROTOBUF = { type: 'application/vnd.kubernetes.protobuf' }
const definitionOf = (apiVersion: string, kind: string): string | undefined => kindOfObject({ apiVersion, kind })?.definition
const decode = (bytes: Buffer): Record<string, unknown> => decodeProtobuf(bytes, definitionOf)

/** What `kubectl create deployment q2 --image=b --port=80 --replicas=0` of version 1.33 sends. */
const FROM_KUBECTL =
  'azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50EqsBCh0KAnEyEgAaACIAKgAyADgAQgBaCQoDYXBwEgJxMhJ8CAASCwoJCgNhcHASAnEyGmMKGw' +
  'oAEgAaACIAKgAyADgAQgBaCQoDYXBwEgJxMhJEEiYKAWISAWIqADIKCgAQABhQIgAqAEIAagByAIABAIgBAJABAKIBABoAMgBCAEoAUgBYAGAA' +
  'aACCAQCKAQCaAQDCAQAiAgoAKAA4ABoMCAAQABgAIAAoADgAGgAiAA=='

const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)])
const number = (at: number, value: number): Buffer => Buffer.from([...varint(at * 8), ...varint(value)])
const bytes = (at: number, ...parts: readonly (Buffer | string)[]): Buffer => {
  const body = Buffer.concat(parts.map(part => (typeof part === 'string' ? Buffer.from(part) : part)))
  return Buffer.concat([Buffer.from([...varint(at * 8 + 2), ...varint(body.length)]), body])
}
const object = (apiVersion: string, kind: string, ...fields: Buffer[]): Buffer =>
  Buffer.concat([Buffer.from('k8s\0'), bytes(1, bytes(1, apiVersion), bytes(2, kind)), bytes(2, ...fields)])

t.test('reads what kubectl sends: pointers keep their zero, other zeros are absent', t => {
  t.same(decode(Buffer.from(FROM_KUBECTL, 'base64')), {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'q2', labels: { app: 'q2' } },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: 'q2' } },
      template: {
        metadata: { labels: { app: 'q2' } },
        spec: { containers: [{ name: 'b', image: 'b', ports: [{ containerPort: 80 }], resources: {} }] },
      },
      strategy: {},
    },
    status: { replicas: 0 },
  })
  t.end()
})

t.test('creates from a protobuf body', async t => {
  const { api, ask } = await createRig()
  const made = await api.handle({
    method: 'POST',
    url: '/apis/apps/v1/namespaces/default/deployments?fieldValidation=Strict',
    headers: { 'content-type': PROTOBUF.type, accept: `${PROTOBUF.type},application/json` },
    identity: { name: 'a', groups: ['system:masters'] },
    body: () => Promise.resolve(Buffer.from(FROM_KUBECTL, 'base64')),
  })
  t.equal(made.status, 201)
  t.match((await ask('GET', '/apis/apps/v1/namespaces/default/deployments/q2')).json, { spec: { replicas: 0 } })
})

t.test('inlined structs, maps of bytes, times, quantities and ports by name', t => {
  const probe = bytes(10, bytes(1, bytes(2, bytes(1, '/healthz'), bytes(2, number(1, 1), number(2, 0), bytes(3, 'web')))), number(3, 5))
  const limits = bytes(8, bytes(1, bytes(1, 'cpu'), bytes(2, bytes(1, '500m'))))
  const container = bytes(2, bytes(1, 'main'), limits, probe)
  const volume = bytes(1, bytes(1, 'v'), bytes(2, bytes(19, bytes(1, bytes(1, 'settings')), number(3, 0))))
  const meta = bytes(1, bytes(1, 'p'), bytes(8, number(1, 1_700_000_000)))
  t.same(decode(object('v1', 'Pod', meta, bytes(2, volume, container))), {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', creationTimestamp: '2023-11-14T22:13:20Z' },
    spec: {
      volumes: [{ name: 'v', configMap: { name: 'settings', defaultMode: 0 } }],
      containers: [
        {
          name: 'main',
          resources: { limits: { cpu: '500m' } },
          livenessProbe: { httpGet: { path: '/healthz', port: 'web' }, timeoutSeconds: 5 },
        },
      ],
    },
  })
  t.match(decode(object('v1', 'Secret', bytes(2, bytes(1, 'k'), bytes(2, 'v')))), { data: { k: 'dg==' } })
  t.end()
})

t.test('malformed bytes are 400, wherever they are cut', async t => {
  const whole = Buffer.from(FROM_KUBECTL, 'base64')
  for (let length = 0; length < whole.length; length++) {
    try {
      decode(whole.subarray(0, length))
    } catch (error) {
      if ((error as { reason?: string }).reason !== 'BadRequest') t.fail(`cut at ${length}: ${error}`)
    }
  }
  const { ask } = await createRig()
  t.match((await ask('POST', '/api/v1/namespaces/default/configmaps', 'k8s', PROTOBUF)).json, { code: 400, reason: 'BadRequest' })
  t.match((await ask('POST', '/api/v1/namespaces/default/configmaps', object('v1', 'Foo').toString('latin1'), PROTOBUF)).json, {
    code: 400,
    message: /^Foo in version "v1" cannot be handled as a ConfigMap: no kind "Foo" is registered/,
  })
})
