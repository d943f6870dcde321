// The board's first boot: server and agent with the hello workload on a pure cgroup v2 layout that nobody prepared.

import { readFileSync } from 'node:fs'
import {
  CGROUPS,
  cgroupFile,
  check,
  type DevicePod,
  devicePods,
  equal,
  fetchPage,
  helio,
  helioJson,
  killRole,
  mountsOf,
  note,
  pidsOf,
  podGroups,
  run,
  startRole,
  until,
  untilConnected,
  untilReady,
} from './board.ts'

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string }
  readonly status: {
    readonly phase: string
    readonly podIP?: string
    readonly containerStatuses?: readonly {
      readonly restartCount: number
      readonly state: { readonly terminated?: { readonly exitCode: number; readonly reason: string } }
    }[]
  }
}

const MARKS = '/var/lib/marks'

const pod = (name: string, container: string, more = ''): string => `---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: lab}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
${more}
  containers:
  - name: main
    image: heliopause.local/hello:1
${container}
`

const LAB = [
  '---\napiVersion: v1\nkind: Namespace\nmetadata: {name: lab}\n',
  pod(
    'limited',
    `    command: [sleep, "100000"]
    resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 250m, memory: 64Mi}}
    livenessProbe: {exec: {command: ["true"]}, periodSeconds: 5, timeoutSeconds: 20}`,
  ),
  pod('greedy', `    command: [dd, if=/dev/zero, of=/dev/null, bs=100M]\n    resources: {limits: {memory: 32Mi}}`),
  pod(
    'greedy-child',
    `    command: [sh, -c, "dd if=/dev/zero of=/dev/null bs=100M; echo child ended with $?; exit 3"]
    resources: {limits: {memory: 32Mi}}`,
  ),
  pod('devices', `    command: [sh, -c, "busybox mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk; head -c 4 /dev/zero | wc -c"]`),
  pod('privileged', `    command: [sh, -c, "head -c 1 /dev/vda | wc -c"]\n    securityContext: {privileged: true}`),
  pod('view', `    command: [sh, -c, "cat /proc/self/cgroup; ls /sys/fs/cgroup; touch /sys/fs/cgroup/x 2>&1"]`),
  pod(
    'once',
    `    command: [sh, -c, "echo ran >> /marks/once"]
    volumeMounts: [{name: marks, mountPath: /marks}]`,
    `  volumes: [{name: marks, hostPath: {path: ${MARKS}, type: DirectoryOrCreate}}]`,
  ),
  pod('forks', `    command: [sh, -c, "for i in 1 2 3 4 5 6; do sleep 1000 & done; wait"]`),
].join('')

const getPod = (name: string, namespace = 'lab'): Promise<Pod> => helioJson<Pod>('get', 'pod', name, '-n', namespace)

const untilPod = async (name: string, done: (pod: Pod) => boolean): Promise<Pod> => {
  const seen: { pod: Pod | undefined } = { pod: undefined }
  return until(
    `pod ${name}`,
    60,
    async () => {
      seen.pod = await getPod(name)
      return done(seen.pod) ? seen.pod : undefined
    },
    () => seen.pod?.status,
  )
}

const terminated = (wanted: Pod) => wanted.status.containerStatuses?.[0]?.state.terminated
const ended = async (name: string): Promise<Pod> => untilPod(name, pod => terminated(pod) !== undefined)

const checkMachine = async (): Promise<void> => {
  await check('the board has cgroup v2 and nothing else', () => {
    const mounts = readFileSync('/proc/self/mounts', 'utf8')
    equal(/ cgroup /.test(mounts), false, 'a v1 hierarchy')
    equal(/ \/sys\/fs\/cgroup cgroup2 /.test(mounts), true, 'cgroup2 on /sys/fs/cgroup')
    equal(readFileSync(`${CGROUPS}/cgroup.subtree_control`, 'utf8').trim(), '', 'controllers enabled by somebody else')
  })
}

const checkHello = async (): Promise<readonly DevicePod[]> => {
  await check('the hello image is imported', () => helio(['image', 'import', '/opt/hello.tar']))
  await check('edge-configs/hello is applied', () => helio(['apply', '-f', '/opt/edge-configs/hello/']))
  const pods = await untilReady('hello', 3, 120)
  await check('three pods of hello are ready', () => equal(pods.length, 3, 'ready pods'))
  await check('containers run by crun', async () => {
    const status = await helioJson<{ runtime: { name: string } }>('device', 'status')
    equal(status.runtime.name, 'crun', 'runtime')
  })
  for (const each of pods)
    await check(`the board gets the page from ${each.name}`, async () =>
      equal(await fetchPage(each.status.podIP ?? ''), 'hello from the edge\n', 'page'),
    )
  await check('a pod gets the page from another pod', async () => {
    const [from, to] = pods
    const pid = String(from?.containers[0]?.pid)
    const wget = await run('nsenter', [`--target=${pid}`, '--net', 'busybox', 'wget', '-qO-', `http://${to?.status.podIP}:8080/index.html`])
    equal(wget.stdout, 'hello from the edge\n', `page (${wget.stderr})`)
  })
  return pods
}

const checkLimits = async (): Promise<void> => {
  const limited = (await untilPod('limited', pod => pod.status.phase === 'Running')).metadata
  const reads = (file: string, wanted: string): Promise<boolean> =>
    check(`${file} is ${wanted}`, () => equal(cgroupFile(limited, 'main_0', file), wanted, file))
  await reads('memory.max', String(64 * 1024 * 1024))
  await reads('memory.swap.max', '0')
  await reads('cpu.max', '25000 100000')
  await reads('cpu.weight', '4')
  await reads('pids.max', '4096')
  await check('the container is in its own group and the monitor is not', () => {
    equal(cgroupFile(limited, 'main_0', 'cgroup.procs').split('\n').length, 1, 'processes of the container')
    const monitors = readFileSync(`${CGROUPS}/helio/monitors/cgroup.procs`, 'utf8').trim().split('\n')
    equal(monitors.length > 3, true, `monitors in their group: ${monitors.length}`)
  })
}

const checkEnds = async (): Promise<void> => {
  await check('a container beyond its memory limit is OOMKilled', async () => {
    const end = terminated(await ended('greedy'))
    equal(`${end?.reason} ${end?.exitCode}`, 'OOMKilled 137', 'end')
  })
  await check('a child beyond the memory limit counts as OOMKilled when the container fails', async () => {
    const end = terminated(await ended('greedy-child'))
    equal(`${end?.reason} ${end?.exitCode}`, 'OOMKilled 3', 'end')
  })
  await check('a container cannot open a device of the board', async () => {
    await ended('devices')
    const text = await helio(['logs', 'devices', '-n', 'lab'])
    equal(/not permitted/i.test(text) && /^4$/m.test(text), true, JSON.stringify(text))
  })
  await check('a privileged one can', async () => {
    await ended('privileged')
    equal(await helio(['logs', 'privileged', '-n', 'lab']), '1\n', 'bytes read')
  })
  await check('a container sees its own group as the root, read-only', async () => {
    await ended('view')
    const text = await helio(['logs', 'view', '-n', 'lab'])
    equal(/^0::\/$/m.test(text) && /memory\.max/.test(text) && /Read-only/i.test(text), true, JSON.stringify(text))
  })
  await check('a pod that completed has run once', async () => {
    equal((await ended('once')).status.phase, 'Succeeded', 'phase')
    equal(readFileSync(`${MARKS}/once`, 'utf8'), 'ran\n', 'marks')
  })
}

/** Kills one container's first process and waits until it runs again. */
const checkHealing = async (name: string): Promise<void> => {
  const before = (await untilReady('hello', 3, 60))[0]
  const pid = before?.containers[0]?.pid ?? 0
  await check(name, async () => {
    process.kill(pid, 'SIGKILL')
    await until('another process', 60, async () => {
      const now = (await devicePods()).find(pod => pod.uid === before?.uid)
      const next = now?.containers[0]?.pid
      return next && next !== pid ? next : undefined
    })
    await untilReady('hello', 3, 60)
  })
}

const checkRemoval = async (): Promise<void> => {
  const gone = (await devicePods()).filter(pod => pod.namespace === 'lab' && pod.name !== 'once')
  await check('deleted pods leave no control group and no mount', async () => {
    for (const each of gone) await helio(['delete', 'pod', each.name, '-n', 'lab'])
    await until(
      'only living pods have groups',
      60,
      async () => {
        const living = (await devicePods()).map(pod => pod.uid)
        const stale = [...podGroups().filter(uid => !living.includes(uid)), ...gone.flatMap(pod => mountsOf(pod.uid))]
        return living.length === 4 && stale.length === 0 ? true : undefined
      },
      () => ({ groups: podGroups(), mounts: gone.flatMap(pod => mountsOf(pod.uid)) }),
    )
  })
  await check('no process of a deleted pod is left', async () => {
    const left = (await run('ps', [])).stdout.split('\n').filter(line => /sleep 1000/.test(line))
    equal(left.length, 0, left.join(';'))
  })
}

/** Everything that needs a server; ends with the power cut, server and agent running. */
export const firstBoot = async (): Promise<void> => {
  await checkMachine()
  const server = await startRole('server')
  await checkHello()
  await check('the lab is applied', () => helio(['apply', '-f', '-'], LAB))
  await checkLimits()
  await checkEnds()
  await checkHealing('a killed container runs again')
  const before = pidsOf(await devicePods())
  await killRole(server)
  const agent = await startRole('agent')
  await check('the agent alone adopts what runs after kill -9 of the server', async () => {
    await untilReady('hello', 3, 60)
    equal(pidsOf(await devicePods()), before, 'process ids')
  })
  await checkHealing('the agent alone notices a killed container it adopted and starts it again')
  await killRole(agent)
  const again = await startRole('server')
  await untilConnected()
  await checkRemoval()
  note(`server is process ${again.pid}`)
  console.log('CUT')
  await new Promise(() => process.stdin.resume())
}
