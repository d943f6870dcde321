// The contract on plain processes: once as programs of the host, once with an image as their root where root is to be had.

import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../src/base/log.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemExec } from '../../src/host/exec.ts'
import { selectRuntime } from '../../src/runtime/index.ts'
import type { ContainerSpec, Runtime } from '../../src/runtime/runtime.ts'
import { crashingAgent } from './runtime-agent.ts'
import { busyboxPrograms, busyboxSpec, hasBusybox, makeBusyboxLayer, shell } from './runtime-busybox.ts'
import { exitOf, found, logged, logLines, POD, runToEnd, runtimeSuite, sandboxSpec } from './runtime-suite.ts'

const withImage = process.getuid?.() === 0 && hasBusybox() && systemExec.find('setpriv') !== undefined
if (!withImage) console.error('SKIPPED LOUDLY: processes with an image of their own need root, busybox and setpriv')

const dir = mkdtempSync(join(tmpdir(), 'helio-process-'))
const cgroupRoot = `/${basename(dir)}`
const open = (): Promise<Runtime> =>
  selectRuntime('process', { exec: systemExec, clock: systemClock, log: silentLog, dir: join(dir, 'run'), cgroupRoot })
type Change = Partial<ContainerSpec> & { readonly args: readonly string[] }
const hostSpec = (change: Change): ContainerSpec =>
  busyboxSpec({
    layers: [],
    logPath: join(dir, 'logs', `${change.name ?? 'main'}.log`),
    env: ['PATH=/usr/bin:/bin', 'GREETING=hello'],
    ...change,
  })

await runtimeSuite('process', { open, spec: hostSpec, programs: busyboxPrograms, logs: true })

t.test('plain processes', async t => {
  const runtime = await open()
  t.teardown(async () => {
    await runtime.removeSandbox(POD)
    await runtime.close()
  })
  await runtime.createSandbox(sandboxSpec())

  await t.test('what cannot be promised is refused with the reason', async t => {
    await t.rejects(
      runtime.startContainer(hostSpec({ args: busyboxPrograms.runs, readOnlyRootfs: true })),
      /read-only root file system needs/,
    )
  })

  await t.test('an agent that is killed leaves them running, loses no line and hears the exit', async t => {
    const line = 'trap "echo three; exit 9" TERM; echo one; echo two; while :; do sleep 1000 & wait; done'
    await crashingAgent({
      runtime: 'process',
      dir: join(dir, 'run'),
      cgroupRoot,
      at: 'never',
      spec: hostSpec({ name: 'left', args: shell(line) }),
    })
    const again = await open()
    const info = await found(again, `${POD}_left_0`)
    t.equal(info?.state, 'running')
    await logged(info?.logPath ?? '', 'stdout F two')
    const exited = exitOf(again, () => info?.id)
    await again.stopContainer(`${POD}_left_0`, 20_000)
    t.equal((await exited).exit?.exitCode, 9)
    t.same(logLines(info?.logPath ?? ''), ['stdout F one', 'stdout F two', 'stdout F three'])
    await again.close()
  })

  await t.test('output goes on in a new file after the log was moved away', async t => {
    const log = join(dir, 'logs/rotate.log')
    const spec = hostSpec({
      name: 'rotate',
      args: shell('trap "echo after; exit 0" TERM; echo before; while :; do sleep 1000 & wait; done'),
    })
    const { id } = await runtime.startContainer(spec)
    await logged(log, 'stdout F before')
    renameSync(log, `${log}.1`)
    await runtime.reopenLog(id)
    await runtime.stopContainer(id, 20_000)
    t.same([...logLines(`${log}.1`), ...logLines(log)], ['stdout F before', 'stdout F after'])
    t.equal(logLines(log).at(-1), 'stdout F after')
  })

  await t.test('words reach the program as they are', async t => {
    const args = ['/bin/echo', '$(id)', "it's", '"a  b"', '; exit 3']
    const info = await runToEnd(runtime, hostSpec({ name: 'words', args }))
    t.same(logLines(info.logPath), ['stdout F $(id) it\'s "a  b" ; exit 3'])
  })
})

if (withImage) {
  const layer = makeBusyboxLayer(dir)
  const imageSpec = (change: Change): ContainerSpec =>
    busyboxSpec({ layers: [layer], logPath: join(dir, 'logs', `image-${change.name ?? 'main'}.log`), ...change })
  await runtimeSuite('process with an image', { open, spec: imageSpec, programs: busyboxPrograms, logs: true })

  t.test('a process with an image', async t => {
    const runtime = await open()
    t.teardown(async () => {
      await runtime.removeSandbox(POD)
      await runtime.close()
    })
    await runtime.createSandbox(sandboxSpec())
    const output = async (change: Change): Promise<readonly string[]> =>
      logLines((await runToEnd(runtime, imageSpec(change))).logPath).map(line => line.replace(/^std(out|err) F /, ''))

    await t.test('has its user, groups, folder, environment, and may not rise', async t => {
      const lines = await output({
        ...{
          name: 'user',
          uid: 1000,
          gid: 2000,
          supplementalGroups: [3000],
          cwd: '/data',
          allowPrivilegeEscalation: false,
          capabilities: [],
        },
        args: shell('id; pwd; echo $GREETING; grep -E "CapEff|NoNewPrivs" /proc/self/status; ls /'),
      })
      t.match(lines[0], /^uid=1000 gid=2000 groups=(2000,)?3000/)
      t.same(lines.slice(1, 5), ['/data', 'hello', 'CapEff:\t0000000000000000', 'NoNewPrivs:\t1'])
      t.same(lines.slice(5), ['bin', 'data', 'dev', 'etc', 'proc', 'sys', 'tmp'], 'its root is the image')
    })

    await t.test('sees its mounts, read-only where they are, and nothing of them shows on the host', async t => {
      writeFileSync(join(dir, 'greeting'), 'from outside\n')
      const mounts = [{ source: join(dir, 'greeting'), destination: '/data/greeting', readOnly: true }]
      const lines = await output({
        name: 'mounts',
        readOnlyRootfs: true,
        mounts,
        args: shell('exec 2>&1; cat /data/greeting; echo y > /data/greeting; touch /x'),
      })
      t.match(lines, ['from outside', /Read-only file system/, /Read-only file system/])
      t.notMatch(readFileSync('/proc/self/mounts', 'utf8'), '/data/greeting')
    })

    await t.test('a root process that must lose what the change of root needs is refused', async t => {
      await t.rejects(
        runtime.startContainer(imageSpec({ name: 'caps', capabilities: [], args: busyboxPrograms.runs })),
        /cannot be taken from root/,
      )
    })

    await t.test('a link in the image does not lead a mount out of it', async t => {
      const mounts = [{ source: join(dir, 'greeting'), destination: '/bin/../etc/../../../data/up', readOnly: true }]
      t.same(await output({ name: 'link', mounts, args: ['/bin/cat', '/data/up'] }), ['from outside'])
    })
  })
}

t.test('nothing stays behind', async t => {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
  for (const [, path = '', type = ''] of mounts.split('\n').map(line => line.split(' '))) {
    const folder = join(path, cgroupRoot)
    if (!type.startsWith('cgroup') || !existsSync(folder)) continue
    if (existsSync(join(folder, 'monitors'))) rmdirSync(join(folder, 'monitors'))
    t.same(
      readdirSync(folder, { withFileTypes: true })
        .filter(entry => entry.isDirectory())
        .map(entry => entry.name),
      [],
      folder,
    )
    rmdirSync(folder)
  }
  t.notMatch(mounts, dir, 'no mount')
  rmSync(dir, { recursive: true })
})
