// Pods: defaults, rules with upstream's paths and words, updates, and how they look in a table.

import t from 'tap'
import type { Cause } from '../../../src/base/errors.ts'
import { deepCopy } from '../../../src/base/json.ts'
import type { KubeObject } from '../../../src/kinds/meta.ts'
import type { Container, Pod, PodSpec, PodStatus } from '../../../src/kinds/pod.ts'
import { podKind } from '../../../src/kinds/pod-kind.ts'

const podOf = (spec: Partial<PodSpec>, status?: PodStatus): Pod => {
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'default', creationTimestamp: '2026-11-22T11:50:00Z' },
    spec: { containers: [{ name: 'a', image: 'nginx:1.29' }], ...deepCopy(spec) },
  }
  podKind.setDefaults(pod as unknown as KubeObject)
  if (status) pod.status = status
  return pod
}

const container = (extra: Partial<Container>): Partial<PodSpec> => ({ containers: [{ name: 'a', image: 'nginx', ...extra }] })

const text = ({ field, detail }: Cause): string => `${field}: ${detail}`
const problems = (spec: Partial<PodSpec>): string[] => podKind.validate(podOf(spec) as unknown as KubeObject).map(text)
const updateProblems = (before: Partial<PodSpec>, after: Partial<PodSpec>): string[] =>
  podKind.validateUpdate(podOf(after) as unknown as KubeObject, podOf(before) as unknown as KubeObject).map(text)

t.test('a pod gets the defaults a cluster gives it', t => {
  const { spec } = podOf({
    hostNetwork: true,
    containers: [
      {
        name: 'a',
        image: 'registry:5000/nginx',
        ports: [{ containerPort: 80 }],
        resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } },
        livenessProbe: { httpGet: { port: 80 } },
        env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
      },
      { name: 'b', image: 'nginx@sha256:abc' },
    ],
    volumes: [{ name: 'tmp' }, { name: 'conf', configMap: { name: 'c' } }],
  })
  t.match(spec, {
    restartPolicy: 'Always',
    dnsPolicy: 'ClusterFirst',
    terminationGracePeriodSeconds: 30,
    schedulerName: 'default-scheduler',
    enableServiceLinks: true,
    securityContext: {},
    volumes: [
      { name: 'tmp', emptyDir: {} },
      { name: 'conf', configMap: { defaultMode: 420 } },
    ],
  })
  t.match(spec.containers[0], {
    imagePullPolicy: 'Always',
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    ports: [{ containerPort: 80, hostPort: 80, protocol: 'TCP' }],
    resources: { requests: { cpu: '500m', memory: '1Gi' } },
    livenessProbe: {
      httpGet: { path: '/', scheme: 'HTTP' },
      timeoutSeconds: 1,
      periodSeconds: 10,
      successThreshold: 1,
      failureThreshold: 3,
    },
    env: [{ valueFrom: { fieldRef: { apiVersion: 'v1' } } }],
  })
  t.equal(spec.containers[1]?.imagePullPolicy, 'IfNotPresent')
  t.equal(spec.tolerations, undefined, 'no eviction by default: a silent node keeps its pods')
  t.end()
})

t.test('a sound pod has no problems', t => {
  t.strictSame(
    problems({
      volumes: [
        { name: 'conf', configMap: { name: 'c', items: [{ key: 'a', path: 'x/y' }] } },
        {
          name: 'all',
          projected: {
            sources: [{ secret: { name: 's' } }, { downwardAPI: { items: [{ path: 'l', fieldRef: { fieldPath: 'metadata.labels' } }] } }],
          },
        },
        { name: 'claim', persistentVolumeClaim: { claimName: 'p' } },
      ],
      initContainers: [
        { name: 'init', image: 'busybox' },
        { name: 'side', image: 'busybox', restartPolicy: 'Always', readinessProbe: { tcpSocket: { port: 1 } } },
      ],
      containers: [
        {
          name: 'a',
          image: 'nginx',
          volumeMounts: [
            { name: 'conf', mountPath: '/etc/c', subPath: 'x' },
            { name: 'all', mountPath: '/all' },
          ],
          env: [
            { name: 'A', value: 'b' },
            { name: 'L', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
            { name: 'M', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
            { name: 'K', valueFrom: { configMapKeyRef: { name: 'c', key: 'k' } } },
          ],
          envFrom: [{ secretRef: { name: 's' } }],
          lifecycle: { preStop: { sleep: { seconds: 5 } } },
          securityContext: { runAsUser: 1000, capabilities: { drop: ['ALL'] }, allowPrivilegeEscalation: false },
        },
      ],
      tolerations: [{ operator: 'Exists' }, { key: 'a', value: 'b', effect: 'NoExecute', tolerationSeconds: 5 }],
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'x', operator: 'In', values: ['1'] }] }],
          },
        },
        podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: {} }] },
      },
    }),
    [],
  )
  t.end()
})

t.test('problems have the paths and words of upstream', t => {
  const cases: [Partial<PodSpec>, string | RegExp][] = [
    [{ containers: [] }, 'spec.containers: Required value'],
    [container({ name: '' }), 'spec.containers[0].name: Required value'],
    [
      container({ name: 'A_b' }),
      /^spec\.containers\[0\]\.name: Invalid value: "A_b": a lowercase RFC 1123 label must consist of lower case/,
    ],
    [container({ image: '' }), 'spec.containers[0].image: Required value'],
    [container({ image: ' nginx' }), 'spec.containers[0].image: Invalid value: " nginx": must not have leading or trailing whitespace'],
    [
      {
        containers: [
          { name: 'a', image: 'x' },
          { name: 'a', image: 'x' },
        ],
      },
      'spec.containers[1].name: Duplicate value: "a"',
    ],
    [
      container({ imagePullPolicy: 'Sometimes' }),
      'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    ],
    [
      container({ ports: [{ containerPort: 70000 }] }),
      'spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
    ],
    [
      container({ ports: [{ containerPort: 80, protocol: 'ICMP' }] }),
      'spec.containers[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ],
    [
      container({
        ports: [
          { containerPort: 80, hostPort: 1 },
          { containerPort: 81, hostPort: 1 },
        ],
      }),
      'spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//1"',
    ],
    [
      { ...container({ ports: [{ containerPort: 80, hostPort: 81 }] }), hostNetwork: true },
      'spec.containers[0].ports[0].containerPort: Invalid value: 80: must match `hostPort` when `hostNetwork` is true',
    ],
    [container({ volumeMounts: [{ name: 'no', mountPath: '/x' }] }), 'spec.containers[0].volumeMounts[0].name: Not found: "no"'],
    [
      {
        volumes: [
          { name: 'v', emptyDir: {} },
          { name: 'v', emptyDir: {} },
        ],
      },
      'spec.volumes[1].name: Duplicate value: "v"',
    ],
    [
      { volumes: [{ name: 'v', emptyDir: {}, hostPath: { path: '/' } }] },
      'spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type',
    ],
    [{ volumes: [{ name: 'v', configMap: {} }] }, 'spec.volumes[0].configMap.name: Required value'],
    [
      { volumes: [{ name: 'v', hostPath: { path: '/a/../b' } }] },
      `spec.volumes[0].hostPath.path: Invalid value: "/a/../b": must not contain '..'`,
    ],
    [container({ env: [{ name: 'A=B' }] }), /printable ASCII characters other than '='/],
    [
      container({ env: [{ name: 'A', valueFrom: {} }] }),
      /spec\.containers\[0\]\.env\[0\]\.valueFrom: Invalid value: "": must specify one of/,
    ],
    [
      container({ env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.host' } } }] }),
      /error converting fieldPath: field label not supported: spec\.host/,
    ],
    [
      container({ resources: { requests: { cpu: '2' }, limits: { cpu: '500m' } } }),
      'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 500m',
    ],
    [
      container({ resources: { limits: { memory: '-1Gi' } } }),
      'spec.containers[0].resources.limits[memory]: Invalid value: "-1Gi": must be greater than or equal to 0',
    ],
    [
      container({ resources: { limits: { gpu: '1' } } }),
      'spec.containers[0].resources.limits[gpu]: Invalid value: "gpu": must be a standard resource for containers',
    ],
    [container({ livenessProbe: {} }), 'spec.containers[0].livenessProbe: Required value: must specify a handler type'],
    [
      container({ livenessProbe: { exec: { command: ['x'] }, successThreshold: 2 } }),
      'spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1',
    ],
    [
      container({ readinessProbe: { httpGet: { port: 'a b' } } }),
      /readinessProbe\.httpGet\.port: Invalid value: "a b": must contain only alpha-numeric/,
    ],
    [
      { initContainers: [{ name: 'i', image: 'x', livenessProbe: { exec: { command: ['x'] } } }] },
      'spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
    ],
    [{ restartPolicy: 'Maybe' }, 'spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"'],
    [{ dnsPolicy: 'None' }, 'spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None'],
    [{ activeDeadlineSeconds: 0 }, 'spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive'],
    [
      container({ securityContext: { privileged: true, allowPrivilegeEscalation: false } }),
      /cannot set `allowPrivilegeEscalation` to false and `privileged` to true/,
    ],
    [
      { securityContext: { runAsUser: -1 } },
      'spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive',
    ],
    [{ tolerations: [{ key: 'a', operator: 'Exists', value: 'x' }] }, /value must be empty when `operator` is 'Exists'/],
    [{ tolerations: [{ effect: 'NoSchedule' }] }, /operator must be Exists when `key` is empty/],
    [{ nodeSelector: { 'a b': 'c' } }, /^spec\.nodeSelector: Invalid value: "a b": name part must consist of/],
    [
      { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } } },
      /must have at least one node selector term/,
    ],
    [{ hostPID: true, shareProcessNamespace: true }, /ShareProcessNamespace and HostPID cannot both be enabled/],
    [
      { schedulingGates: [{ name: 'x' }], nodeName: 'n' },
      'spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared',
    ],
    [{ hostAliases: [{ ip: 'here' }] }, /spec\.hostAliases\[0\]\.ip: Invalid value: "here": must be a valid IP address/],
    [{ ephemeralContainers: [{ name: 'd', image: 'x' }] }, 'spec.ephemeralContainers: Forbidden: cannot be set on create'],
  ]
  for (const [spec, expected] of cases) {
    const found = problems(spec)
    t.ok(
      found.some(each => (typeof expected === 'string' ? each === expected : expected.test(each))),
      `${expected} in ${found.join(' | ')}`,
    )
  }
  t.end()
})

t.test('an update may change images, shorten the deadline, add tolerations; nothing else', t => {
  t.strictSame(updateProblems(container({ image: 'a' }), container({ image: 'b', imagePullPolicy: 'Always' })), [])
  t.strictSame(updateProblems({ activeDeadlineSeconds: 9 }, { activeDeadlineSeconds: 5 }), [])
  t.strictSame(updateProblems({}, { tolerations: [{ operator: 'Exists' }] }), [])
  t.strictSame(updateProblems({ schedulingGates: [{ name: 'g' }] }, { nodeSelector: { a: 'b' } }), [])
  t.match(updateProblems({ activeDeadlineSeconds: 5 }, { activeDeadlineSeconds: 9 })[0], /must be less than or equal to previous value/)
  t.match(
    updateProblems({ tolerations: [{ operator: 'Exists' }] }, {})[0],
    /existing toleration can not be modified except its tolerationSeconds/,
  )
  t.match(
    updateProblems({}, { nodeName: 'n2' })[0],
    /^spec: Forbidden: pod updates may not change fields other than `spec\.containers\[\*\]\.image`,.*\nchanged: spec\.nodeName$/,
  )
  t.match(updateProblems(container({}), container({ command: ['sh'] }))[0], /changed: spec\.containers\[0\]\.command$/)
  t.match(
    updateProblems(
      {},
      {
        containers: [
          { name: 'a', image: 'x' },
          { name: 'b', image: 'x' },
        ],
      },
    )[0],
    /pod updates may not add or remove containers/,
  )
  t.match(updateProblems({}, { schedulingGates: [{ name: 'g' }] })[0], /only deletion is allowed, but found new scheduling gate 'g'/)
  t.end()
})

t.test('a container that ended for good does not run again in a status', t => {
  const status = (state: object): PodStatus => ({
    containerStatuses: [{ name: 'a', ready: false, restartCount: 0, image: '', imageID: '', state }],
  })
  const check = (restartPolicy: string, exitCode: number): number => {
    const old = podOf({ restartPolicy }, status({ terminated: { exitCode } }))
    const fresh = podOf({ restartPolicy }, status({ running: {} }))
    return podKind.validateStatusUpdate?.(fresh as unknown as KubeObject, old as unknown as KubeObject).length ?? -1
  }
  t.equal(check('Never', 1), 1)
  t.equal(check('OnFailure', 0), 1)
  t.equal(check('OnFailure', 1), 0)
  t.equal(check('Always', 0), 0)
  t.end()
})

t.test('grace is none for pods that no device runs or that have ended', t => {
  const grace = (spec: Partial<PodSpec>, status?: PodStatus) => podKind.graceSeconds?.(podOf(spec, status) as unknown as KubeObject)
  t.equal(grace({}), 0)
  t.equal(grace({ nodeName: 'n' }), 30)
  t.equal(grace({ nodeName: 'n', terminationGracePeriodSeconds: 5 }), 5)
  t.equal(grace({ nodeName: 'n', terminationGracePeriodSeconds: -5 }), 1)
  t.equal(grace({ nodeName: 'n' }, { phase: 'Succeeded' }), 0)
  t.end()
})
