import t from 'tap'
import { createEncoder } from '../../../src/api/watch-event.ts'
import type { KubeObject } from '../../../src/base/object.ts'
import { kindByName } from '../../../src/kinds/index.ts'
import type { StoreEvent } from '../../../src/store/store.ts'

/** Watches config maps labelled app=x. */
const encoder = createEncoder({
  kind: kindByName('ConfigMap')!,
  selection: { all: false, name: undefined, matches: object => object.metadata.labels?.['app'] === 'x' },
  form: { as: 'json', version: 'v1' },
  include: 'Metadata',
  nowMs: () => 0,
})

const event = (type: StoreEvent['type'], app: string): StoreEvent => {
  const object: KubeObject = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'a', namespace: 'default', resourceVersion: '7', labels: { app } },
  }
  return { type, key: '//configmaps/default/a', revision: 7, object, value: Buffer.from(JSON.stringify(object)), previous: undefined }
}

const told = (type: StoreEvent['type'], app: string): string | undefined => {
  const line = encoder.event(event(type, app))
  return line && (JSON.parse(line.toString()) as { type: string }).type
}

t.test('a change of before the start whose predecessor is not known may end what a filtered watcher has', async t => {
  t.equal(told('DELETED', 'x'), 'DELETED')
  t.equal(told('DELETED', 'y'), 'DELETED', 'it may have been app=x before')
  t.equal(told('MODIFIED', 'y'), 'DELETED')
  t.equal(told('MODIFIED', 'x'), 'MODIFIED')
})

t.test('what is new and not selected concerns nobody', async t => {
  t.equal(told('ADDED', 'y'), undefined)
  t.equal(told('ADDED', 'x'), 'ADDED')
})
