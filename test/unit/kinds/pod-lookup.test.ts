// What a pod asks for, and its quality of service.

import t from 'tap'
import type { Container, PodSpec } from '../../../src/kinds/pod.ts'
import { podRequests, qosClassOf } from '../../../src/kinds/pod-lookup.ts'

t.test('requests add up as the scheduler counts them', t => {
  const of = (cpu: string, memory = '1Mi'): Container['resources'] => ({ requests: { cpu, memory } })
  const spec: PodSpec = {
    initContainers: [
      { name: 'side', restartPolicy: 'Always', resources: of('100m') ?? {} },
      { name: 'init', resources: of('1', '1Ki') ?? {} },
    ],
    containers: [
      { name: 'a', resources: of('200m') ?? {} },
      { name: 'b', resources: of('300m') ?? {} },
    ],
  }
  t.strictSame(podRequests(spec), { cpu: 1100, memory: 3 * 1024 * 1024 })
  t.equal(qosClassOf(spec), 'Burstable')
  t.equal(qosClassOf({ containers: [{ name: 'a' }] }), 'BestEffort')
  t.equal(
    qosClassOf({
      containers: [{ name: 'a', resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1000m', memory: '1Gi' } } }],
    }),
    'Guaranteed',
  )
  t.end()
})
