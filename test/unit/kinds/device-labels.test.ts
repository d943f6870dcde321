// What a device may say of itself in labels when it joins.

import t from 'tap'
import { DEVICE_LABELS_MAX, validateDeviceLabels } from '../../../src/kinds/device-labels.ts'

const problemsOf = (labels: Record<string, unknown>): string[] =>
  validateDeviceLabels(labels, 'labels').map(({ field, detail }) => `${field}: ${detail}`)

t.test('labels of its own, its machine and its place are taken', async t => {
  const labels = {
    rack: '3',
    'example.com/line': 'a',
    'kubernetes.io/arch': 'arm64',
    'topology.kubernetes.io/zone': 'north',
    'heliopause.io/site': 'north',
    'node.heliopause.io/uplink': 'lte',
  }
  t.strictSame(problemsOf(labels), [])
  t.strictSame(problemsOf({}), [])
})

t.test('labels that the cluster acts upon are refused, and each is named', async t => {
  const reserved = [
    'node-role.kubernetes.io/control-plane',
    'kubernetes.io/anything',
    'x.k8s.io/a',
    'k8s.io/a',
    'heliopause.io/public',
    'a.heliopause.io/b',
  ]
  for (const key of reserved) t.match(problemsOf({ rack: '3', [key]: 'x' })[0], `labels.${key}: Forbidden: the prefix is reserved`)
  t.strictSame(problemsOf({ 'notkubernetes.io/a': 'x' }), [], 'a name that only ends like one is nobody’s')
})

t.test('what is no label is refused', async t => {
  t.match(problemsOf({ rack: 3 })[0], 'labels.rack')
  t.match(problemsOf({ 'a b': 'x' })[0], 'name part')
  t.match(problemsOf({ rack: 'x'.repeat(64) })[0], '63')
  t.match(
    problemsOf(Object.fromEntries(Array.from({ length: DEVICE_LABELS_MAX + 1 }, (_, i) => [`l${i}`, 'x'])))[0],
    `at most ${DEVICE_LABELS_MAX}`,
  )
})
