// The agent on real containers (crun, conmon), with a network that does nothing: what only a kernel can show.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../src/base/log.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemExec } from '../../src/host/exec.ts'
import type { Container, Pod } from '../../src/kinds/pod.ts'
import { selectRuntime, whyNotCrun } from '../../src/runtime/index.ts'
import type { Runtime } from '../../src/runtime/runtime.ts'
import { openBench } from '../unit/agent/bench.ts'
import { container, document, image, pod } from '../unit/agent/model.ts'
import { hasBusybox, makeBusyboxLayer, shell } from './runtime-busybox.ts'

const why = whyNotCrun({ exec: systemExec })?.reason ?? (hasBusybox() ? undefined : 'busybox is not installed')
if (why !== undefined) console.error(`SKIPPED LOUDLY: the agent is not tested on real containers here: ${why}`)

const RUNS = 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'
const script = (line: string, changes: Partial<Container> = {}): Container =>
  container(changes.name ?? 'main', { image: 'busybox', command: [...shell(line)], ...changes })

/** What the runtime leaves for the next pod: empty folders below its root. */
const removeCgroups = (root: string): void => {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map(line => line.split(' '))
  for (const [, path = '', type = ''] of mounts) {
    if (!type.startsWith('cgroup') || !existsSync(join(path, root))) continue
    if (existsSync(join(path, root, 'monitors'))) rmdirSync(join(path, root, 'monitors'))
    rmdirSync(join(path, root))
  }
}

t.test('an agent on crun', { skip: why ?? false }, async t => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-agent-crun-'))
  const open = (): Promise<Runtime> =>
    selectRuntime('crun', { exec: systemExec, clock: systemClock, log: silentLog, dir: join(dir, 'run'), cgroupRoot: `/${basename(dir)}` })
  const look = async () => {
    const runtime = await open()
    const found = await runtime.inspect()
    await runtime.close()
    return found
  }
  const b = openBench(t.teardown)
  b.images.set('busybox', { ...image('busybox'), layers: [makeBusyboxLayer(dir)] })
  await b.join()
  let agent = await b.start({ runtime: await open() })
  t.teardown(async () => {
    await b.give(document([]))
    await b.until('all gone', () => b.values.size <= 1)
    await agent.close()
    removeCgroups(`/${basename(dir)}`)
    rmSync(dir, { recursive: true, force: true })
  })
  await b.until('the link', () => b.hooks !== undefined)
  const running = async (pods: readonly Pod[], rest = {}): Promise<void> => {
    await b.give(document(pods, rest))
    await b.until('all ready', () =>
      pods.every(p => b.status(p.metadata.name ?? '')?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')),
    )
  }
  const logOf = (podName: string, attempt = 0): string => {
    const file = join(b.dir, `logs/default_${podName}_uid-${podName}/main/${attempt}.log`)
    return existsSync(file) ? readFileSync(file, 'utf8').replace(/^\S+ (stdout|stderr) F /gm, '') : ''
  }
  const settings = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'settings', namespace: 'default' },
    data: { color: 'red' },
  } as const

  await t.test('volumes, variables, host name and user are as the manifest says', async t => {
    const spec = {
      securityContext: { runAsUser: 1000, fsGroup: 2000 },
      volumes: [
        { name: 'etc', configMap: { name: 'settings' } },
        { name: 'ram', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
      ],
      initContainers: [script('echo from-init > /ram/word', { name: 'init', volumeMounts: [{ name: 'ram', mountPath: '/ram' }] })],
      containers: [
        script(
          `echo $(cat /etc/app/color); echo $(cat /one); cat /ram/word; echo $COLOR $NAME $(id -u) $(id -G); hostname; echo last words > /dev/termination-log; ${RUNS}`,
          {
            env: [
              { name: 'COLOR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'color' } } },
              { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            ],
            volumeMounts: [
              { name: 'etc', mountPath: '/etc/app' },
              { name: 'etc', mountPath: '/one', subPath: 'color' },
              { name: 'ram', mountPath: '/ram' },
            ],
            readinessProbe: { exec: { command: ['cat', '/ram/word'] }, periodSeconds: 1 },
          },
        ),
      ],
    }
    await running([pod('v', spec)], { configMaps: [settings] })
    await b.until('it has printed', () => logOf('v').includes('\nv\n'))
    t.same(logOf('v').trim().split('\n'), ['red', 'red', 'from-init', 'red v 1000 0 2000', 'v'])
    const { status } = { status: b.status('v') }
    t.equal(status?.initContainerStatuses?.[0]?.state?.terminated?.reason, 'Completed')
    const [main] = status?.containerStatuses ?? []
    t.match(main, { ready: true, restartCount: 0, imageID: 'sha256:busybox' })
  })

  await t.test('a killed process runs again at once, with its last words told', async t => {
    const socket = join(b.dir, 'agent.sock')
    t.ok(existsSync(socket))
    const { containers } = await look()
    const victim = containers.find(c => c.name === 'main' && c.state === 'running')
    const beganMs = systemClock.mono()
    process.kill(victim?.pid ?? 0, 'SIGKILL')
    await b.until(
      'it runs again',
      () =>
        b.status('v')?.containerStatuses?.[0]?.restartCount === 1 && b.status('v')?.containerStatuses?.[0]?.state?.running !== undefined,
    )
    t.ok(systemClock.mono() - beganMs < 2000, 'within 2 s')
    t.match(b.status('v')?.containerStatuses?.[0]?.lastState, { terminated: { exitCode: 137, message: 'last words\n' } })
  })

  await t.test('volumes of Secrets live in memory: containers see every change, the disk sees nothing', async t => {
    const secret = (word: string) => ({
      apiVersion: 'v1' as const,
      kind: 'Secret' as const,
      metadata: { name: 'keys', namespace: 'default' },
      data: { word: Buffer.from(word).toString('base64') },
    })
    const spec = {
      terminationGracePeriodSeconds: 0,
      volumes: [{ name: 'keys', secret: { secretName: 'keys' } }],
      containers: [
        script(`last=; while :; do now=$(sha256sum < /keys/word); [ "$now" = "$last" ] || echo $now; last=$now; sleep 0.1; done`, {
          volumeMounts: [{ name: 'keys', mountPath: '/keys', readOnly: true }],
        }),
      ],
    }
    const lines = (): number => logOf('k').trim().split('\n').filter(Boolean).length
    const onDisk = (): string =>
      spawnSync('find', [b.dir, '-xdev', '-type', 'f', '-exec', 'grep', '-l', 'w0rd-of-mouth', '{}', '+'], { encoding: 'utf8' }).stdout
    await running([pod('k', spec)], { secrets: [secret('w0rd-of-mouth-1')] })
    await b.until('it was read', () => lines() === 1)
    await running([pod('k', spec)], { secrets: [secret('w0rd-of-mouth-2')] })
    await b.until('the change was read', () => lines() === 2)
    t.match(readFileSync(join(b.dir, 'pods/uid-k/volumes/keys/word'), 'utf8'), 'w0rd-of-mouth-2')
    t.equal(onDisk(), '')
    await b.give(document([]))
    await b.until('it is gone', () => b.status('k') === undefined)
    t.notOk(existsSync(join(b.dir, 'pods/uid-k')), 'unmounted and removed')
  })

  await t.test('a program that is not there is a StartError', async t => {
    const spec = { restartPolicy: 'Never', containers: [container('main', { image: 'busybox', command: ['/not/there'] })] }
    await b.give(document([pod('n', spec)]))
    await b.until('it failed', () => b.status('n')?.phase === 'Failed')
    t.match(b.status('n')?.containerStatuses?.[0]?.state, { terminated: { exitCode: 128, reason: 'StartError', message: /not\/there/ } })
  })

  await t.test('the agent restarts: same pid, still ready, nothing restarted', async t => {
    await running([pod('s', { containers: [script(RUNS)] })])
    await agent.close()
    const before = (await look()).containers.find(c => c.podUid === 'uid-s')
    b.values.clear()
    agent = await b.start({ runtime: await open() })
    await b.until('adopted', () => b.status('s')?.phase === 'Running')
    const after = (await look()).containers.filter(c => c.podUid === 'uid-s')
    t.equal(after.length, 1)
    t.equal(after[0]?.pid, before?.pid)
    t.equal(b.status('s')?.containerStatuses?.[0]?.ready, true)
  })

  await t.test('all containers are killed while no agent runs: the agent alone brings them back', async t => {
    await agent.close()
    const runtime = await open()
    const { containers } = await runtime.inspect()
    for (const c of containers) if (c.state === 'running') process.kill(c.pid ?? 0, 'SIGKILL')
    await b.until('dead', () => containers.every(c => !existsSync(`/proc/${c.pid}`)))
    await runtime.close()
    b.values.clear()
    agent = await b.start({ runtime: await open() })
    await b.until('back', () => b.status('s')?.containerStatuses?.[0]?.state?.running !== undefined)
    t.match(b.status('s')?.containerStatuses?.[0], { restartCount: 1, lastState: { terminated: { exitCode: 137 } } })
  })

  await t.test('deletion runs preStop, then SIGTERM, and leaves nothing', async t => {
    const spec = {
      volumes: [{ name: 'ram', emptyDir: { medium: 'Memory' } }],
      containers: [
        script(`echo up; trap "cat /ram/word; echo bye; exit 0" TERM; while :; do sleep 1000 & wait; done`, {
          volumeMounts: [{ name: 'ram', mountPath: '/ram' }],
          lifecycle: { preStop: { exec: { command: [...shell('echo pre > /ram/word')] } } },
        }),
      ],
    }
    await running([pod('d', spec)])
    await b.until('it is up', () => logOf('d').includes('up'))
    await b.give(document([pod('d', spec, { deletionTimestamp: '2026-11-22T10:00:00Z', deletionGracePeriodSeconds: 20 })]))
    await b.until('gone', () => (b.values.get('pod/uid-d') as { gone?: boolean } | undefined)?.gone === true)
    t.same(logOf('d').trim().split('\n'), ['up', 'pre', 'bye'])
    t.notOk(existsSync(join(b.dir, 'pods/uid-d')))
    t.notOk(readFileSync('/proc/self/mountinfo', 'utf8').includes(join(b.dir, 'pods')), 'no mount is left')
    const { sandboxes, containers } = await look()
    t.same([...sandboxes.map(s => s.uid), ...containers.map(c => c.podUid)], [])
  })
})
