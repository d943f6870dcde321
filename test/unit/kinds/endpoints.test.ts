// EndpointSlice and Endpoints: defaults, refusals, tables.

import t from 'tap'
import { kindByAnyName, kindByName } from '../../../src/kinds/index.ts'
import type { KubeObject } from '../../../src/kinds/meta.ts'

const NOW = Date.parse('2026-11-22T12:00:00Z')
const slice = (rest: Record<string, unknown>): KubeObject => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'web-1', namespace: 'default', creationTimestamp: '2026-11-22T11:00:00Z' },
  addressType: 'IPv4',
  endpoints: [],
  ...rest,
})
const endpoints = (subsets: unknown): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Endpoints',
  metadata: { name: 'web', namespace: 'default', creationTimestamp: '2026-11-22T11:00:00Z' },
  subsets,
})

const fieldsOf = (object: KubeObject): string[] => {
  const kind = kindByName(object.kind)!
  kind.setDefaults(object)
  return kind.validate(object).map(cause => `${cause.field}: ${cause.type}`)
}

t.test('short names and plurals', async t => {
  t.equal(kindByAnyName('ep')?.kind, 'Endpoints')
  t.equal(kindByAnyName('endpointslices')?.group, 'discovery.k8s.io')
})

t.test('ports of a slice have a name and a protocol', async t => {
  const object = slice({ ports: [{ port: 80 }] })
  kindByName('EndpointSlice')!.setDefaults(object)
  t.same(object['ports'], [{ port: 80, name: '', protocol: 'TCP' }])
})

t.test("a slice is refused with upstream's paths", async t => {
  t.same(fieldsOf(slice({ addressType: '' })), ['addressType: FieldValueRequired'])
  t.same(fieldsOf(slice({ addressType: 'IPv5' })), ['addressType: FieldValueNotSupported'])
  t.same(
    fieldsOf(
      slice({
        endpoints: [{ addresses: [] }, { addresses: ['x'] }, { addresses: ['fd00::1'] }, { addresses: ['10.0.0.1'], nodeName: 'A' }],
      }),
    ),
    [
      'endpoints[0].addresses: FieldValueRequired',
      'endpoints[1].addresses[0]: FieldValueInvalid',
      'endpoints[2].addresses[0]: FieldValueInvalid',
      'endpoints[3].nodeName: FieldValueInvalid',
    ],
  )
  const many = Array.from({ length: 1_001 }, () => ({ addresses: ['10.0.0.1'] }))
  t.same(fieldsOf(slice({ endpoints: many })), ['endpoints: FieldValueTooMany'])
  t.same(fieldsOf(slice({ ports: [{ port: 0 }, { port: 80, protocol: 'X' }] })), [
    'ports[0].port: FieldValueInvalid',
    'ports[1].name: FieldValueDuplicate',
    'ports[1].protocol: FieldValueNotSupported',
  ])
  t.same(fieldsOf(slice({ addressType: 'FQDN', endpoints: [{ addresses: ['web.example.com'] }] })), [])
})

t.test('the family of a slice stays', async t => {
  const kind = kindByName('EndpointSlice')!
  t.match(kind.validateUpdate(slice({ addressType: 'IPv6' }), slice({})), [{ field: 'addressType', detail: /field is immutable/ }])
})

t.test("Endpoints are refused with upstream's paths", async t => {
  t.same(fieldsOf(endpoints([{ ports: [{ port: 80 }] }])), ['subsets[0]: FieldValueRequired'])
  t.same(fieldsOf(endpoints([{ addresses: [{ ip: 'x' }], ports: [{ port: 80 }, { port: 81, name: 'b' }] }])), [
    'subsets[0].addresses[0].ip: FieldValueInvalid',
    'subsets[0].ports[0].name: FieldValueRequired',
  ])
  t.same(fieldsOf(endpoints([{ notReadyAddresses: [{ ip: '10.0.0.1' }], ports: [{ port: 80 }] }])), [])
})

t.test('tables show three and count the rest', async t => {
  const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5']
  t.same(
    kindByName('EndpointSlice')!.row(slice({ ports: [{ port: 80 }, {}], endpoints: addresses.map(each => ({ addresses: [each] })) }), NOW),
    ['web-1', 'IPv4', '80,*', '10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...', '60m'],
  )
  t.same(kindByName('EndpointSlice')!.row(slice({}), NOW), ['web-1', 'IPv4', '<unset>', '<unset>', '60m'])
  t.same(kindByName('Endpoints')!.row(endpoints([{ addresses: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }], ports: [{ port: 80 }] }]), NOW), [
    'web',
    '10.0.0.1:80,[fd00::1]:80',
    '60m',
  ])
  t.same(kindByName('Endpoints')!.row(endpoints(undefined), NOW), ['web', '<none>', '60m'])
})
