// How pods look in a table.

import t from 'tap'
import type { KubeObject } from '../../../src/kinds/meta.ts'
import type { Pod, PodSpec, PodStatus } from '../../../src/kinds/pod.ts'
import { podKind } from '../../../src/kinds/pod-kind.ts'

const NOW = Date.parse('2026-11-22T12:00:00Z')

const podOf = (spec: Partial<PodSpec>, status: PodStatus = { phase: 'Pending' }): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'default', creationTimestamp: '2026-11-22T11:50:00Z' },
  spec: { containers: [{ name: 'a', image: 'nginx:1.29' }], ...spec },
  status,
})

const cells = (pod: Pod): unknown[] => podKind.row(pod as unknown as KubeObject, NOW)
const state = (name: string, extra: object): NonNullable<PodStatus['containerStatuses']>[number] => ({
  name,
  ready: false,
  restartCount: 0,
  image: '',
  imageID: '',
  ...extra,
})

t.test('the status column tells the most telling reason', t => {
  const waiting = (reason: string): PodStatus => ({ phase: 'Pending', containerStatuses: [state('a', { state: { waiting: { reason } } })] })
  const ended = (terminated: object): PodStatus => ({ phase: 'Succeeded', containerStatuses: [state('a', { state: { terminated } })] })
  const reason = (status: PodStatus, spec: Partial<PodSpec> = {}): unknown => cells(podOf(spec, status))[2]
  const init = { initContainers: [{ name: 'i', image: 'x' }] }
  t.equal(reason({ phase: 'Pending' }), 'Pending')
  t.equal(reason(waiting('ContainerCreating')), 'ContainerCreating')
  t.equal(reason(waiting('CrashLoopBackOff')), 'CrashLoopBackOff')
  t.equal(reason(ended({ exitCode: 0, reason: 'Completed' })), 'Completed')
  t.equal(reason(ended({ exitCode: 137, reason: 'OOMKilled' })), 'OOMKilled')
  t.equal(reason(ended({ exitCode: 3 })), 'ExitCode:3')
  t.equal(reason(ended({ exitCode: 137, signal: 9 })), 'Signal:9')
  t.equal(reason({ phase: 'Pending', initContainerStatuses: [state('i', { state: { running: {} } })] }, init), 'Init:0/1')
  t.equal(
    reason({ phase: 'Pending', initContainerStatuses: [state('i', { state: { terminated: { exitCode: 1, reason: 'Error' } } })] }, init),
    'Init:Error',
  )
  t.equal(
    reason({ phase: 'Pending', initContainerStatuses: [state('i', { state: { waiting: { reason: 'CrashLoopBackOff' } } })] }, init),
    'Init:CrashLoopBackOff',
  )
  t.equal(reason({ phase: 'Failed', reason: 'Evicted' }), 'Evicted')
  t.equal(
    reason({ phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }] }),
    'SchedulingGated',
  )
  const going = podOf({}, { phase: 'Running' })
  going.metadata.deletionTimestamp = '2026-11-22T11:59:00Z'
  t.equal(cells(going)[2], 'Terminating')
  t.end()
})

t.test('ready, restarts, age and the wide columns', t => {
  const pod = podOf(
    { nodeName: 'n1', readinessGates: [{ conditionType: 'x' }] },
    {
      phase: 'Running',
      podIP: '10.0.0.5',
      conditions: [{ type: 'x', status: 'True' }],
      containerStatuses: [
        state('a', {
          ready: true,
          restartCount: 2,
          state: { running: {} },
          lastState: { terminated: { exitCode: 1, finishedAt: '2026-11-22T11:55:00Z' } },
        }),
      ],
    },
  )
  t.strictSame(cells(pod), ['web', '1/1', 'Running', '2 (5m ago)', '10m', '10.0.0.5', 'n1', '<none>', '1/1'])
  t.strictSame(cells(podOf({})).slice(1, 4), ['0/1', 'Pending', '0'])
  t.end()
})
