import t from 'tap'
import { eventLines } from '../../../src/cli/describe-events.ts'
import { nodeLines } from '../../../src/cli/describe-node.ts'
import { configMapLines, namespaceLines, plainLines, secretLines } from '../../../src/cli/describe-plain.ts'
import { podLines } from '../../../src/cli/describe-pod.ts'
import { descriptionText, timeText } from '../../../src/cli/describe-text.ts'
import { deploymentLines } from '../../../src/cli/describe-workload.ts'
import type { Pod } from '../../../src/kinds/pod.ts'

const NOW = Date.UTC(2026, 0, 1, 0, 10)
const STAMP = '2026-01-01T00:00:00Z'

const POD: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'web', uid: 'u', labels: { app: 'web', tier: 'x' }, creationTimestamp: STAMP },
  spec: {
    nodeName: 'n1',
    containers: [
      {
        name: 'main',
        image: 'a:1',
        ports: [{ containerPort: 80 }],
        env: [
          { name: 'A', value: '1' },
          { name: 'ME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
        ],
        resources: { limits: { cpu: '1', memory: '32Mi' }, requests: { cpu: '500m', memory: '16Mi' } },
        volumeMounts: [{ name: 'data', mountPath: '/data', readOnly: true }],
      },
    ],
    volumes: [{ name: 'data', emptyDir: {} }],
    tolerations: [{ key: 'k', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }],
  },
  status: {
    phase: 'Running',
    podIP: '10.42.0.2',
    podIPs: [{ ip: '10.42.0.2' }],
    hostIP: '10.0.0.1',
    startTime: STAMP,
    conditions: [{ type: 'Ready', status: 'True' }],
    containerStatuses: [
      {
        name: 'main',
        image: 'a:1',
        imageID: 'sha256:1',
        containerID: 'crun://c',
        ready: true,
        restartCount: 2,
        state: { running: { startedAt: STAMP } },
        lastState: { terminated: { exitCode: 137, reason: 'OOMKilled', startedAt: STAMP, finishedAt: STAMP } },
      },
    ],
  },
}

t.test('a pod is shown with its containers, states, environment, mounts and volumes, aligned', async t => {
  t.equal(
    descriptionText(podLines(POD)),
    `Name:         p
Namespace:    web
Node:         n1/10.0.0.1
Start Time:   Thu, 01 Jan 2026 00:00:00 +0000
Labels:       app=web
              tier=x
Annotations:  <none>
Status:       Running
IP:           10.42.0.2
IPs:
  IP:  10.42.0.2
Containers:
  main:
    Container ID:   crun://c
    Image:          a:1
    Image ID:       sha256:1
    Port:           80/TCP
    Host Port:      0/TCP
    State:          Running
      Started:      Thu, 01 Jan 2026 00:00:00 +0000
    Last State:     Terminated
      Reason:       OOMKilled
      Exit Code:    137
      Started:      Thu, 01 Jan 2026 00:00:00 +0000
      Finished:     Thu, 01 Jan 2026 00:00:00 +0000
    Ready:          True
    Restart Count:  2
    Limits:
      cpu:     1
      memory:  32Mi
    Requests:
      cpu:     500m
      memory:  16Mi
    Environment:
      A:   1
      ME:  p (v1:metadata.name)
    Mounts:
      /data from data (ro)
Conditions:
  Type   Status
  Ready  True
Volumes:
  data:
    Type:        EmptyDir (a temporary directory that shares a pod's lifetime)
    Medium:
    SizeLimit:   <unset>
QoS Class:       Burstable
Node-Selectors:  <none>
Tolerations:     k:NoExecute op=Exists for 300s
`,
  )
})

t.test('a node shows what its pods ask for, in shares of what it has', async t => {
  const text = descriptionText(
    nodeLines(
      { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' }, status: { allocatable: { cpu: '2', memory: '64Mi' } } },
      [POD, { ...POD, metadata: { ...POD.metadata, name: 'done' }, status: { phase: 'Succeeded' } }],
      undefined,
      NOW,
    ),
  )
  t.match(text, /Non-terminated Pods: +\(1 in total\)/)
  t.match(text, /web +p +500m \(25%\) +1 \(50%\) +16Mi \(25%\) +32Mi \(50%\) +10m/)
  t.match(text, /cpu +500m \(25%\) +1 \(50%\)\n/)
})

t.test('events come oldest first, with counts; none is said', async t => {
  const event = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {},
    type: 'Warning',
    reason: 'BackOff',
    message: 'line one\n line two',
    source: { component: 'agent' },
  }
  const text = descriptionText(
    eventLines(
      [
        { ...event, count: 3, firstTimestamp: STAMP, lastTimestamp: '2026-01-01T00:09:00Z' },
        { ...event, type: 'Normal', reason: 'Scheduled', message: 'ok', eventTime: STAMP },
      ],
      NOW,
    ),
  )
  t.equal(
    text,
    `Events:
  Type     Reason     Age                From   Message
  ----     ------     ----               ----   -------
  Normal   Scheduled  10m                agent  ok
  Warning  BackOff    60s (x3 over 10m)  agent  line one line two
`,
  )
  t.same(eventLines([], NOW), ['Events:\t<none>'])
})

t.test('a secret shows sizes and never values', async t => {
  const text = descriptionText(
    secretLines({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, data: { key: Buffer.from('topsecret').toString('base64') } }),
  )
  t.match(text, /key: +9 bytes/)
  t.notMatch(text, /topsecret|dG9wc2Vj/)
})

t.test('a Deployment names its old and its new ReplicaSets', async t => {
  const set = (name: string, revision: string, replicas: number) => ({
    apiVersion: 'apps/v1' as const,
    kind: 'ReplicaSet' as const,
    metadata: { name, annotations: { 'deployment.kubernetes.io/revision': revision } },
    spec: { replicas, selector: {} },
    status: { replicas },
  })
  const annotations = { 'deployment.kubernetes.io/revision': '2' }
  const deployment = {
    apiVersion: 'apps/v1' as const,
    kind: 'Deployment' as const,
    metadata: { name: 'web', namespace: 'web', annotations },
    spec: { selector: { matchLabels: { app: 'web' } }, template: { spec: { containers: [] } } },
  }
  const text = descriptionText(deploymentLines(deployment, [set('old', '1', 1), set('gone', '0', 0), set('new', '2', 3)]))
  t.match(text, /OldReplicaSets: +old \(1\/1 replicas created\)\nNewReplicaSet: +new \(3\/3 replicas created\)/)
})

t.test('nothing an object holds can move the cursor', async t => {
  const text = descriptionText(
    configMapLines({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' }, data: { k: 'a\x1b[2Jb\ttab' } }),
  )
  t.notOk(text.includes('\u001b'))
  t.match(text, /a\?\[2Jb {8}tab/)
})

t.test('any other kind is shown as YAML under its head', async t => {
  const lines = await plainLines({
    apiVersion: 'example.com/v1',
    kind: 'Thing',
    metadata: { name: 'x', creationTimestamp: STAMP },
    spec: { a: [1] },
  })
  t.match(descriptionText(lines), /Kind: +Thing\n[\s\S]*spec:\n {2}a:\n {2}- 1\n/)
  t.equal(timeText(undefined), '<unset>')
})

t.test('contact, brake, hold and a superseded pod are said in a line each', async t => {
  const conditions = [
    { type: 'heliopause.io/Contact', status: 'Unknown' as const, reason: 'Unknown', message: 'last seen 2026-01-01T00:00:00Z' },
    { type: 'heliopause.io/ContactBrake', status: 'True' as const, reason: 'ManySilent', message: 'fell silent with many others' },
  ]
  const node = { apiVersion: 'v1' as const, kind: 'Node' as const, metadata: { name: 'n1' }, status: { conditions } }
  const text = descriptionText(nodeLines(node, [], undefined, NOW))
  t.match(text, /^Contact: +Unknown \(last seen 2026-01-01T00:00:00Z\)$/m)
  t.match(text, /^Contact Brake: +fell silent with many others$/m)
  const annotations = { 'heliopause.io/hold': 'h1 by root at 2026-01-01T00:00:00Z', 'heliopause.io/superseded': STAMP }
  const pod = descriptionText(podLines({ ...POD, metadata: { ...POD.metadata, annotations } }))
  t.match(pod, /^Held: +h1 by root at 2026-01-01T00:00:00Z$/m)
  t.match(pod, /^Superseded: +since Thu, 01 Jan 2026 00:00:00 \+0000$/m)
})

t.test('a namespace shows its conditions: that of kube-system says whether the brake is on', async t => {
  const conditions = [
    { type: 'heliopause.io/ContactBrake', status: 'True', reason: 'ManySilent', message: '6 of 10 nodes', lastTransitionTime: STAMP },
  ]
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'kube-system' }, status: { phase: 'Active', conditions } }
  t.match(
    descriptionText(namespaceLines(namespace)),
    /^ +heliopause.io\/ContactBrake +True +Thu, 01 Jan 2026 00:00:00 \+0000 +ManySilent +6 of 10 nodes$/m,
  )
  t.notMatch(descriptionText(namespaceLines({ ...namespace, status: {} })), /Conditions/)
})
