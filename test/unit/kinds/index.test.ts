// What holds for every kind in the registry, whatever object it meets.

import t from 'tap'
import { deepCopy, deepEqual } from '../../../src/base/json.ts'
import { KINDS, kindByAnyName, kindByGvk, kindByName, kindByResource, kindOfObject } from '../../../src/kinds/index.ts'
import type { KubeObject } from '../../../src/kinds/meta.ts'
import { definition } from '../../../src/kinds/schema.ts'
import { checkSchema } from '../../../src/kinds/schema-check.ts'
import { fc } from '../../property.ts'
import { anyObject } from './any-object.ts'

const NOW = Date.parse('2026-11-22T12:00:00Z')

t.test('every kind has a definition, one way to be found and a cell for each column', t => {
  for (const kind of KINDS) {
    t.ok(definition(kind.definition), kind.definition)
    t.equal(kindByGvk(kind.group, kind.version, kind.kind), kind)
    t.equal(kindByResource(kind.group, kind.version, kind.plural), kind)
    const object = checkSchema({}, kind.definition).pruned as unknown as KubeObject
    kind.setDefaults(object)
    t.equal(kind.row(object, NOW).length, kind.columns.length, `${kind.group}/${kind.plural}`)
  }
  t.end()
})

t.test('kinds are found as people type them', t => {
  t.equal(kindByAnyName('po')?.kind, 'Pod')
  t.equal(kindByAnyName('Deployments.apps')?.kind, 'Deployment')
  t.equal(kindByAnyName('deploy')?.plural, 'deployments')
  t.equal(kindByAnyName('events.events.k8s.io')?.group, 'events.k8s.io')
  t.equal(kindByAnyName('ev')?.group, '')
  t.equal(kindByAnyName('deployments.batch'), undefined)
  t.equal(kindByName('Event')?.group, '')
  t.equal(kindOfObject({ apiVersion: 'apps/v1', kind: 'ReplicaSet' })?.plural, 'replicasets')
  t.end()
})

t.test('no object that passes the schema makes a kind throw, and defaults are idempotent', t => {
  for (const kind of KINDS) {
    const pair = fc.tuple(anyObject(kind.definition, 6), anyObject(kind.definition, 6))
    fc.assert(
      fc.property(pair, ([one, other]) => {
        const objects = [one, other].map(each => {
          const { errors, unknown, pruned } = checkSchema(each, kind.definition)
          if (errors.length + unknown.length > 0) throw new Error(`schema: ${[...errors, ...unknown].join(', ')}`)
          return pruned as unknown as KubeObject
        }) as [KubeObject, KubeObject]
        for (const object of objects) kind.setDefaults(object)
        const [object, old] = objects
        const again = deepCopy(object)
        kind.setDefaults(again)
        if (!deepEqual(again, object)) throw new Error('defaults are not idempotent')
        kind.prepareCreate?.(old)
        kind.prepareUpdate?.(object, old)
        kind.validate(object)
        kind.validateUpdate(object, old)
        kind.validateStatusUpdate?.(object, old)
        if (!kind.row(object, NOW).every(cell => cell === null || typeof cell !== 'object')) throw new Error('cell is not a scalar')
        for (const value of Object.values(kind.fields?.(object) ?? {})) if (typeof value !== 'string') throw new Error('field is not text')
        kind.graceSeconds?.(object)
        kind.scale?.selector(object)
        if (
          kind.storage &&
          !deepEqual(kind.storage.fromStored(kind.storage.toStored(object)), { ...object, apiVersion: 'events.k8s.io/v1', kind: 'Event' })
        ) {
          throw new Error('storage conversion loses something')
        }
      }),
      { numRuns: 150 },
    )
  }
  t.pass('all kinds')
  t.end()
})
