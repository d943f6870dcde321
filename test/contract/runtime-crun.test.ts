// The contract on real containers by crun and conmon, and what only real containers can show.

import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../src/base/log.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemExec } from '../../src/host/exec.ts'
import { selectRuntime, whyNotCrun } from '../../src/runtime/index.ts'
import type { ContainerSpec, Runtime } from '../../src/runtime/runtime.ts'
import { crashingAgent } from './runtime-agent.ts'
import { busyboxPrograms, busyboxSpec, hasBusybox, makeBusyboxLayer, shell } from './runtime-busybox.ts'
import { exitOf, found, logged, logLines, POD, runToEnd, runtimeSuite, sandboxSpec } from './runtime-suite.ts'

const why = whyNotCrun({ exec: systemExec })?.reason ?? (hasBusybox() ? undefined : 'busybox is not installed')
if (why !== undefined) console.error(`SKIPPED LOUDLY: crun containers are not tested here: ${why}`)

const dir = mkdtempSync(join(tmpdir(), 'helio-crun-'))
const cgroupRoot = `/${basename(dir)}`
const layer = why === undefined ? makeBusyboxLayer(dir) : ''
const open = (): Promise<Runtime> =>
  selectRuntime('crun', { exec: systemExec, clock: systemClock, log: silentLog, dir: join(dir, 'run'), cgroupRoot })
const spec = (change: Partial<ContainerSpec> & { readonly args: readonly string[] }): ContainerSpec =>
  busyboxSpec({ layers: [layer], logPath: join(dir, 'logs', `${change.name ?? 'main'}.log`), ...change })

/** Some tree of version 2 is there. */
const emptiness = readFileSync('/proc/self/mounts', 'utf8').includes(' cgroup2 ')
const cgroupFolders = (): readonly string[] => {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map(line => line.split(' '))
  return mounts.flatMap(([, path = '', type = '']) =>
    type.startsWith('cgroup') && existsSync(join(path, cgroupRoot)) ? [join(path, cgroupRoot)] : [],
  )
}
if (why === undefined) await runtimeSuite('crun', { open, spec, programs: busyboxPrograms, logs: true })

t.test('crun containers', { skip: why ?? false }, async t => {
  const runtime = await open()
  t.teardown(async () => {
    await runtime.removeSandbox(POD)
    await runtime.close()
  })
  await runtime.createSandbox(sandboxSpec({ hostname: 'my-pod', sysctls: { 'net.ipv4.ip_unprivileged_port_start': '0' } }))
  const output = async (change: Partial<ContainerSpec> & { readonly args: readonly string[] }): Promise<readonly string[]> =>
    logLines((await runToEnd(runtime, spec(change))).logPath).map(line => line.replace(/^std(out|err) F /, ''))

  await t.test('a container that takes more memory than it may is killed and said to be', async t => {
    const info = await runToEnd(runtime, spec({ name: 'oom', args: shell('tail /dev/zero'), resources: { memoryBytes: 16 * 1024 * 1024 } }))
    t.match(info.exit, { exitCode: 137, oomKilled: true })
  })

  await t.test('limits are in the kernel', async t => {
    const { id, pid } = await runtime.startContainer(
      spec({
        name: 'limits',
        args: busyboxPrograms.runs,
        resources: { memoryBytes: 32 * 1024 * 1024, cpuLimitMillis: 250, cpuRequestMillis: 100, pids: 17 },
      }),
    )
    const groups = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    t.match(groups, `${cgroupRoot}/${POD}/limits_0`)
    const read = (...paths: readonly string[]) => {
      const folder = cgroupFolders()
        .flatMap(root => paths.map(path => join(root, POD, 'limits_0', path)))
        .find(existsSync)
      return folder === undefined ? undefined : readFileSync(folder, 'utf8').trim()
    }
    t.equal(read('memory.limit_in_bytes', 'memory.max'), `${32 * 1024 * 1024}`)
    t.match(read('cpu.cfs_quota_us', 'cpu.max'), /^25000\b/)
    t.equal(read('pids.max'), '17')
    const usage = await runtime.usage(id)
    t.ok(usage && usage.memoryBytes > 0 && usage.memoryBytes < 32 * 1024 * 1024 && usage.cpuNanos > 0)
    await runtime.stopContainer(id, 0)
  })

  await t.test('user, groups, capabilities and privileges are those of the spec', async t => {
    const lines = await output({
      ...{ name: 'security', uid: 1000, gid: 2000, supplementalGroups: [3000], capabilities: ['CHOWN'], allowPrivilegeEscalation: false },
      args: shell('id; grep -E "CapBnd|CapEff|NoNewPrivs|Seccomp:" /proc/self/status'),
    })
    t.same(lines, [
      'uid=1000 gid=2000 groups=2000,3000',
      'CapEff:\t0000000000000000',
      'CapBnd:\t0000000000000001',
      'NoNewPrivs:\t1',
      'Seccomp:\t2',
    ])
  })

  await t.test('the system calls of a way out are refused', async t => {
    const lines = await output({ name: 'seccomp', args: shell('unshare -U true 2>&1; mount -t tmpfs x /tmp 2>&1; echo still here') })
    t.match(lines, [/Operation not permitted/, /(Operation not permitted|permission denied)/i, 'still here'])
    t.same(await output({ name: 'unconfined', seccomp: 'Unconfined', args: shell('grep Seccomp: /proc/self/status') }), ['Seccomp:\t0'])
  })

  await t.test('a read-only root is read-only, its mounts are as they say', async t => {
    writeFileSync(join(dir, 'greeting'), 'from outside\n')
    const mounts = [
      { source: join(dir, 'greeting'), destination: '/data/greeting', readOnly: true },
      { source: 'tmpfs', destination: '/scratch', readOnly: false, type: 'tmpfs' as const, sizeBytes: 65_536 },
    ]
    const line =
      'touch /x 2>&1; cat /data/greeting; echo y > /data/greeting; touch /scratch/z && dd if=/dev/zero of=/scratch/big bs=1k count=99 2>/dev/null || echo full'
    const lines = await output({ name: 'readonly', readOnlyRootfs: true, mounts, args: shell(`exec 2>&1; ${line}`) })
    t.match(lines, [/Read-only file system/, 'from outside', /Read-only file system/, 'full'])
  })

  await t.test('containers of a pod share name, network, memory and nothing with the host', async t => {
    const line = 'hostname; echo mark > /dev/shm/seen; ls /proc/sys/net/ipv4/conf; cat /proc/sys/net/ipv4/ip_unprivileged_port_start'
    const lines = await output({ name: 'first', args: shell(line) })
    t.equal(lines[0], 'my-pod')
    t.same(lines.slice(1).sort(), ['0', 'all', 'default', 'lo'])
    t.same(await output({ name: 'second', args: shell('cat /dev/shm/seen') }), ['mark'])
  })

  await t.test('privileged is what it says', async t => {
    const [capabilities, seccomp, devices] = await output({
      name: 'privileged',
      privileged: true,
      args: shell('grep CapEff /proc/self/status; grep Seccomp: /proc/self/status; ls /dev | wc -l'),
    })
    const own = /CapBnd:\s*(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    t.equal(capabilities, `CapEff:\t${own}`)
    t.equal(seccomp, 'Seccomp:\t0')
    t.ok(Number(devices) > 15)
  })

  await t.test('a command inside has the user, environment and limits of its container', async t => {
    const { id } = await runtime.startContainer(
      spec({ name: 'inside', uid: 1000, gid: 1000, allowPrivilegeEscalation: false, args: busyboxPrograms.runs }),
    )
    const text = async (command: readonly string[], tty = false): Promise<[string, number]> => {
      const session = await runtime.exec(id, command, { tty, stdin: false })
      const chunks: Buffer[] = []
      for await (const chunk of session.stdout) chunks.push(Buffer.from(chunk))
      return [Buffer.concat(chunks).toString().replaceAll('\r', ''), await session.exitCode]
    }
    t.same(await text(shell('echo $GREETING; id -u; grep -E "NoNew|Seccomp:" /proc/self/status; exit 7')), [
      'hello\n1000\nNoNewPrivs:\t1\nSeccomp:\t2\n',
      7,
    ])
    t.same(await text(shell('echo "it\'s" $(tty); exit 3'), true), ["it's /dev/pts/0\n", 3])
    const session = await runtime.exec(id, ['cat'], { tty: false, stdin: true })
    session.stdin?.end('echoed')
    const echoed: Buffer[] = []
    for await (const chunk of session.stdout) echoed.push(Buffer.from(chunk))
    t.equal(Buffer.concat(echoed).toString(), 'echoed')
    t.same(await text(shell('echo again > /dev/stdout')), ['again\n', 0], 'its output can be opened anew, by its user')
    const terminal = await runtime.exec(id, shell('trap "stty size; exit" WINCH; echo up; while :; do sleep 1; done'), {
      tty: true,
      stdin: false,
    })
    const shown: string[] = []
    for await (const chunk of terminal.stdout) {
      shown.push(String(chunk))
      if (shown.join('').includes('up')) terminal.resize({ columns: 132, rows: 43 })
    }
    t.match(shown.join(''), /43 132/, 'a terminal takes the size of the one outside')
    const parent = await runtime.exec(id, shell('sleep 4242 & sleep 4243'), { tty: false, stdin: false })
    parent.kill()
    await parent.exitCode
    // A kill is sent, not done, when the command's end is told: what was missed stays for ever.
    const [left] = await text(
      shell('for i in $(seq 100); do ps | grep -q "sleep 424[23]" || break; sleep 0.1; done; ps | grep -c "sleep 424[23]"'),
    )
    t.equal(left, '0\n', 'what a killed command had started is gone with it')
    await runtime.stopContainer(id, 0)
  })

  await t.test('a log that was moved away is opened anew on request', async t => {
    const log = join(dir, 'logs/rotate.log')
    const args = shell('echo before; trap "echo after; exit 0" TERM; echo ready; while :; do sleep 1000 & wait; done')
    const { id } = await runtime.startContainer(spec({ name: 'rotate', args }))
    await logged(log, 'stdout F ready')
    renameSync(log, `${log}.1`)
    await runtime.reopenLog(id)
    await runtime.stopContainer(id, 20_000)
    const [old, fresh] = [logLines(`${log}.1`), logLines(log)]
    t.same([...old, ...fresh], ['stdout F before', 'stdout F ready', 'stdout F after'], 'no line is lost')
    t.equal(fresh.at(-1), 'stdout F after')
  })

  await t.test('an exit nobody could write down is unknown, never success', async t => {
    const { id, pid } = await runtime.startContainer(spec({ name: 'orphan', args: busyboxPrograms.runs }))
    const monitor = Number(readFileSync(join(dir, 'run/containers', id, 'conmon.pid'), 'utf8'))
    t.match(readFileSync(`/proc/${monitor}/cgroup`, 'utf8'), `${cgroupRoot}/monitors`, 'the end of the agent as a service is not its end')
    process.kill(monitor, 'SIGKILL')
    t.equal((await found(runtime, id))?.pid, pid, 'the container goes on without its monitor')
    const exited = emptiness ? exitOf(runtime, () => id) : undefined
    await runtime.stopContainer(id, 0)
    t.match((await found(runtime, id))?.exit, { unknown: true, exitCode: 137 })
    t.match(await exited, exited && { exit: { unknown: true } }, 'it is told where the kernel says that a group became empty')
  })

  await t.test('containers of one pod can share their processes', async t => {
    const uid = '00000000-0000-4000-8000-0000000000bb'
    await runtime.createSandbox(sandboxSpec({ uid, shareProcessNamespace: true }))
    await runtime.startContainer(spec({ podUid: uid, name: 'one', args: ['/bin/sleep', '1234'] }))
    const info = await runToEnd(runtime, spec({ podUid: uid, name: 'two', args: shell('ps') }))
    t.match(readFileSync(info.logPath, 'utf8'), '/bin/sleep 1234')
    await runtime.removeSandbox(uid)
  })

  await t.test('a pod on the network of the host has its interfaces', async t => {
    const uid = '00000000-0000-4000-8000-0000000000cc'
    t.same(await runtime.createSandbox(sandboxSpec({ uid, hostNetwork: true, hostIPC: true, hostPID: true })), { uid })
    const info = await runToEnd(
      runtime,
      spec({ podUid: uid, name: 'host', args: shell('ls /proc/sys/net/ipv4/conf | wc -l; cat /proc/1/comm') }),
    )
    t.same(logLines(info.logPath), [
      `stdout F ${readdirSync('/proc/sys/net/ipv4/conf').length}`,
      `stdout F ${readFileSync('/proc/1/comm', 'utf8').trim()}`,
    ])
    await runtime.removeSandbox(uid)
  })

  await t.test('an image whose layer is gone is refused by name', async t => {
    await t.rejects(
      runtime.startContainer(spec({ name: 'gone', layers: [layer, join(dir, 'gone')], args: busyboxPrograms.runs })),
      /layer .*gone is missing/,
    )
  })

  await t.test('an image of very many layers mounts', async t => {
    const info = await runToEnd(
      runtime,
      spec({
        name: 'layers',
        layers: Array.from({ length: 120 }, () => layer).map((path, i) => (i === 0 ? path : makeEmpty(i))),
        args: shell('exit 4'),
      }),
    )
    t.equal(info.exit?.exitCode, 4)
  })
})

const makeEmpty = (i: number): string => mkdtempSync(join(dir, `empty-${i}-`))

t.test('an agent that is killed', { skip: why ?? false }, async t => {
  const runtime = await open()
  t.teardown(async () => {
    await runtime.removeSandbox(POD)
    await runtime.close()
  })
  await runtime.createSandbox(sandboxSpec())
  const crash = (name: string, at: 'mount' | 'start' | 'started' | 'never') =>
    crashingAgent({ dir: join(dir, 'run'), cgroupRoot, at, spec: spec({ name, args: busyboxPrograms.runs }) })

  await t.test('leaves what ran running, and its exit is heard', async t => {
    await crash('left', 'never')
    const id = `${POD}_left_0`
    const info = await found(runtime, id)
    t.equal(info?.state, 'running')
    const exited = exitOf(runtime, () => id)
    process.kill(info?.pid ?? 0, 'SIGKILL')
    t.match((await exited).exit, { exitCode: 137, oomKilled: false })
  })

  for (const at of ['mount', 'start'] as const)
    await t.test(`before the program began (${at}): the half is cleared away and the same attempt starts`, async t => {
      await crash(`half-${at}`, at)
      const id = `${POD}_half-${at}_0`
      t.ok(existsSync(join(dir, 'run/containers', id)), 'there is a half')
      t.equal(await found(runtime, id), undefined)
      t.notOk(existsSync(join(dir, 'run/containers', id)))
      t.equal((await runtime.startContainer(spec({ name: `half-${at}`, args: busyboxPrograms.runs }))).state, 'running')
      await runtime.stopContainer(id, 0)
    })

  await t.test('after the program began but before it was written down: it is adopted', async t => {
    await crash('adopted', 'started')
    const info = await found(runtime, `${POD}_adopted_0`)
    t.equal(info?.state, 'running')
    t.ok(info?.pid)
  })

  await t.test('a reboot is told from a restart', async t => {
    const id = `${POD}_adopted_0`
    await runtime.stopContainer(id, 0)
    const { pid } = await runtime.startContainer(spec({ name: 'before', args: busyboxPrograms.runs }))
    for (const path of [`containers/${POD}_before_0`, `sandboxes/${POD}`].map(part => join(dir, 'run', part, 'record.json')))
      writeFileSync(path, readFileSync(path, 'utf8').replace(/"bootId":"[^"]*"/, '"bootId":"another"'))
    const { sandboxes, containers } = await runtime.inspect()
    t.same(sandboxes, [], 'namespaces do not survive a boot')
    t.match(containers.find(container => container.name === 'before')?.exit, { unknown: true })
    process.kill(pid ?? 0, 'SIGKILL')
  })
})

t.test('killed before any program it runs, an agent leaves a pod that can be told and removed', { skip: why ?? false }, async t => {
  const left = (): readonly string[] => ['containers', 'sandboxes', 'exits', 'crun'].flatMap(name => readdirSync(join(dir, 'run', name)))
  const plan = { dir: join(dir, 'run'), cgroupRoot, spec: spec({ name: 'life', args: busyboxPrograms.runs }) }
  let at = 0
  while (await crashingAgent({ ...plan, at })) {
    const runtime = await open()
    const { containers } = await runtime.inspect()
    for (const container of containers)
      t.ok(container.exit !== undefined || existsSync(`/proc/${container.pid}`), `killed before program ${at}: what is told is true`)
    await runtime.removeSandbox(POD)
    t.same(left(), [], `killed before program ${at}: nothing is left`)
    await runtime.close()
    at++
  }
  t.ok(at > 6, `${at} moments were tried`)
})

t.test('nothing stays behind', async t => {
  for (const folder of cgroupFolders()) {
    if (existsSync(join(folder, 'monitors'))) rmdirSync(join(folder, 'monitors'))
    const inside = readdirSync(folder, { withFileTypes: true }).filter(entry => entry.isDirectory())
    t.same(
      inside.map(entry => entry.name),
      [],
      `no control group below ${folder}`,
    )
    rmdirSync(folder)
  }
  t.notMatch(readFileSync('/proc/self/mounts', 'utf8'), dir, 'no mount')
  rmSync(dir, { recursive: true })
})
