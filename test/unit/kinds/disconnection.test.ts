// Words about silence on objects: durations, policies with their defaults, and what is refused.

import t from 'tap'
import {
  CONTACT_INTERVAL,
  FENCE_AFTER,
  ON_RECONNECT,
  parseDuration,
  policyOf,
  REPLACE_AFTER,
  STOP_AFTER,
} from '../../../src/kinds/disconnection.ts'
import { kindByName } from '../../../src/kinds/index.ts'
import { DURATION_MS_MAX } from '../../../src/kinds/limits.ts'
import type { KubeObject } from '../../../src/kinds/meta.ts'

const annotated = (annotations: Record<string, string>): { metadata: { annotations: Record<string, string> } } => ({
  metadata: { annotations },
})

t.test('durations as people write them', async t => {
  const cases: [string, number][] = [
    ['0s', 0],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['250ms', 250],
    ['7d', 604_800_000],
  ]
  for (const [text, ms] of cases) t.equal(parseDuration(text), ms, text)
})

t.test('what is no duration, or a longer one than anybody means, is none', async t => {
  for (const text of [
    '',
    '5',
    'm',
    '-5m',
    '5 m',
    '5m ',
    '1e3s',
    'fast',
    '5M',
    `${'1s'.repeat(6)}`,
    '9999d',
    '9'.repeat(400),
    '1'.repeat(1e6),
  ])
    t.equal(parseDuration(text), undefined, text.slice(0, 20))
  t.equal(parseDuration('3650d'), DURATION_MS_MAX)
})

t.test('the pod speaks first, then its namespace, each word for itself; silence means keep', async t => {
  t.same(policyOf(annotated({}), annotated({})), { replaceAfterMs: undefined, onReconnect: 'keep-original' })
  t.same(policyOf(annotated({ [REPLACE_AFTER]: '0s' }), annotated({ [REPLACE_AFTER]: '5m', [ON_RECONNECT]: 'keep-replacement' })), {
    replaceAfterMs: 0,
    onReconnect: 'keep-replacement',
  })
  t.same(policyOf(annotated({}), undefined), { replaceAfterMs: undefined, onReconnect: 'keep-original' })
})

t.test('a misspelt word is refused wherever it is written, templates included', async t => {
  const bad = { [REPLACE_AFTER]: 'soon', [STOP_AFTER]: '5', [CONTACT_INTERVAL]: '1 h', [FENCE_AFTER]: '20y', [ON_RECONNECT]: 'both' }
  const fields = Object.keys(bad)
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a', annotations: bad } } as KubeObject
  t.same(
    kindByName('Namespace')!
      .validate(namespace)
      .map(cause => [cause.field, cause.type])
      .sort(),
    fields.map(field => [`metadata.annotations[${field}]`, field === ON_RECONNECT ? 'FieldValueNotSupported' : 'FieldValueInvalid']).sort(),
  )
  const selector = { matchLabels: { app: 'web' } }
  const template = {
    metadata: { labels: { app: 'web' }, annotations: { [REPLACE_AFTER]: 'soon' } },
    spec: { containers: [{ name: 'c', image: 'x' }] },
  }
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'default' },
    spec: { selector, template },
  }
  const kind = kindByName('Deployment')!
  kind.setDefaults(deployment as unknown as KubeObject)
  t.match(kind.validate(deployment as unknown as KubeObject), [
    { field: `spec.template.annotations[${REPLACE_AFTER}]`, detail: /must be a duration/ },
  ])
})
