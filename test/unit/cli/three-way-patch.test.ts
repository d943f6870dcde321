import t from 'tap'
import { mergeStrategically } from '../../../src/api/strategic-merge.ts'
import { deepCopy } from '../../../src/base/json.ts'
import { definitionNameOf, threeWayPatch } from '../../../src/cli/three-way-patch.ts'
import { fc } from '../../property.ts'

const SCHEMA = definitionNameOf('apps/v1', 'Deployment')!
type Data = Record<string, unknown>

const deployment = (containers: Data[], more: Data = {}): Data => ({
  metadata: { name: 'web' },
  spec: { template: { spec: { containers, ...more } } },
})
/** What the server keeps: defaults and other people's fields on top. */
const defaulted = (object: Data): Data => {
  const live = deepCopy(object)
  const { spec } = (live['spec'] as { template: { spec: Data } }).template
  for (const container of spec['containers'] as Data[])
    Object.assign(container, { imagePullPolicy: 'Always', terminationMessagePath: '/x' })
  return { ...live, metadata: { ...(live['metadata'] as Data), uid: 'u', resourceVersion: '5' } }
}

t.test('the official name of a definition is found by group and version', async t => {
  t.equal(definitionNameOf('v1', 'Pod'), 'io.k8s.api.core.v1.Pod')
  t.equal(definitionNameOf('coordination.k8s.io/v1', 'Lease'), 'io.k8s.api.coordination.v1.Lease')
  t.equal(definitionNameOf('example.com/v1', 'Thing'), undefined)
})

t.test('the same manifest again asks for nothing, whatever defaults the server filled in', async t => {
  const wanted = deployment([{ name: 'a', image: 'x:1', env: [{ name: 'A', value: '1' }] }])
  t.same(threeWayPatch(wanted, wanted, defaulted(wanted), SCHEMA), {})
})

t.test('lists with a merge key change item by item; what the manifest dropped is deleted, what others added stays', async t => {
  const last = deployment([
    { name: 'a', image: 'x:1' },
    { name: 'b', image: 'y:1', args: ['1'] },
  ])
  const wanted = deployment([{ name: 'a', image: 'x:2' }])
  const live = defaulted(last)
  const spec = (live['spec'] as { template: { spec: { containers: Data[] } } }).template.spec
  spec.containers.push({ name: 'injected', image: 'z' })
  const patch = threeWayPatch(last, wanted, live, SCHEMA)
  t.same(patch, {
    spec: {
      template: {
        spec: {
          containers: [
            { name: 'a', image: 'x:2' },
            { name: 'b', $patch: 'delete' },
          ],
          '$setElementOrder/containers': [{ name: 'a' }],
        },
      },
    },
  })
  const after = mergeStrategically(live, patch, SCHEMA) as typeof live
  t.same((after['spec'] as { template: { spec: { containers: Data[] } } }).template.spec.containers, [
    { name: 'a', image: 'x:2', imagePullPolicy: 'Always', terminationMessagePath: '/x' },
    { name: 'injected', image: 'z' },
  ])
})

t.test('fields dropped from the manifest are removed only when it was the manifest that set them', async t => {
  const live = { data: { a: '1', b: '2', other: '3' } }
  t.same(threeWayPatch({ data: { a: '1', b: '2' } }, { data: { a: '9' } }, live, 'io.k8s.api.core.v1.ConfigMap'), {
    data: { a: '9', b: null },
  })
  t.same(threeWayPatch(undefined, { data: { a: '1' } }, live, 'io.k8s.api.core.v1.ConfigMap'), {})
})

t.test('a strategy keeps only the keys it names; scalar lists lose what was dropped; unknown kinds replace lists', async t => {
  const last = { spec: { strategy: { type: 'RollingUpdate' } } }
  const live = { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%' } } } }
  t.same(threeWayPatch(last, { spec: { strategy: { type: 'Recreate' } } }, live, SCHEMA), {
    spec: { strategy: { type: 'Recreate', $retainKeys: ['type'] } },
  })
  t.same(
    threeWayPatch(
      { metadata: { finalizers: ['a', 'b'] } },
      { metadata: { finalizers: ['b', 'c'] } },
      { metadata: { finalizers: ['a', 'b', 'x'] } },
      SCHEMA,
    ),
    { metadata: { finalizers: ['c'], '$deleteFromPrimitiveList/finalizers': ['a'], '$setElementOrder/finalizers': ['b', 'c'] } },
  )
  t.same(threeWayPatch({}, { spec: { list: [{ name: 'a' }] } }, { spec: { list: [{ name: 'a', x: 1 }] } }, undefined), {
    spec: { list: [{ name: 'a' }] },
  })
})

t.test('items that the key cannot tell apart are replaced as a whole', async t => {
  const ports = [
    { containerPort: 53, protocol: 'TCP' },
    { containerPort: 53, protocol: 'UDP' },
  ]
  const live = deployment([{ name: 'a', ports: [{ containerPort: 53, protocol: 'TCP' }] }])
  const patch = threeWayPatch(live, deployment([{ name: 'a', ports }]), live, SCHEMA)
  const after = mergeStrategically(live, patch, SCHEMA) as { spec: { template: { spec: { containers: { ports: unknown }[] } } } }
  t.same(after.spec.template.spec.containers[0]?.ports, ports)
})

const containerArbitrary = fc.record(
  {
    image: fc.constantFrom('x:1', 'x:2'),
    args: fc.array(fc.constantFrom('a', 'b'), { maxLength: 2 }),
    env: fc.uniqueArray(fc.record({ name: fc.constantFrom('A', 'B', 'C'), value: fc.constantFrom('1', '2') }), {
      selector: each => each.name,
      maxLength: 3,
    }),
  },
  { requiredKeys: ['image'] },
)
const manifestArbitrary = fc
  .uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c'), containerArbitrary), { selector: ([name]) => name, minLength: 1, maxLength: 3 })
  .chain(named =>
    fc.record({ nodeSelector: fc.dictionary(fc.constantFrom('x', 'y'), fc.constantFrom('1', '2')) }, { requiredKeys: [] }).map(more =>
      deployment(
        named.map(([name, container]) => ({ name, ...container })),
        more,
      ),
    ),
  )

t.test('after the patch the live object holds the manifest: applying again asks for nothing', async () => {
  await fc.assert(
    fc.property(manifestArbitrary, manifestArbitrary, (last, wanted) => {
      const live = defaulted(last)
      const patch = threeWayPatch(last, wanted, live, SCHEMA)
      const after = mergeStrategically(live, patch, SCHEMA) as Data
      return Object.keys(threeWayPatch(wanted, wanted, after, SCHEMA)).length === 0
    }),
    { numRuns: 500 },
  )
})
