// The installed agent under systemd, which owns the root of the control groups: install, readiness, watchdog, stop and start, a reboot and
// uninstall. Pods notice none of it but the last two.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import {
  CGROUPS,
  cgroupFile,
  check,
  DATA,
  devicePods,
  equal,
  fetchPage,
  HELIO,
  note,
  pidsOf,
  podGroups,
  run,
  until,
  untilReady,
} from './board.ts'

const UNIT = 'heliopause-agent.service'
const TREE = '/guest/tree'

const systemctl = async (...args: string[]): Promise<string> => {
  const result = await run('systemctl', args)
  if (result.code !== 0) throw new Error(`systemctl ${args.join(' ')}: ${result.stderr}`)
  return result.stdout.trim()
}

const show = (property: string): Promise<string> => systemctl('show', '-P', property, UNIT)

const installed = async (...args: string[]): Promise<string> => {
  const result = await run(HELIO, args)
  if (result.code !== 0) throw new Error(`helio ${args.join(' ')}: exit ${result.code}: ${result.stderr}`)
  return result.stdout
}

const alive = (pids: readonly number[]): number => pids.filter(pid => existsSync(`/proc/${pid}/exe`)).length

/** Every file of the board that is to be as it was; logs, state and what the kernel shows are not. */
const tree = (dir = ''): readonly string[] =>
  readdirSync(`${dir}/`, { withFileTypes: true }).flatMap(entry => {
    const path = `${dir}/${entry.name}`
    if (['/proc', '/sys', '/dev', '/run', '/tmp', '/guest', '/var/log', DATA].includes(path)) return []
    return entry.isDirectory() ? [path, ...tree(path)] : [path]
  })

const underInstall = async (): Promise<void> => {
  await check('helio check finds nothing that would fail', async () => {
    const result = await run(HELIO, ['check', '-o', 'json'])
    const { rows } = JSON.parse(result.stdout) as { rows: readonly { check: string; status: string; found: string }[] }
    equal(
      rows
        .filter(row => row.status === 'fail')
        .map(row => `${row.check}: ${row.found}`)
        .join('; '),
      '',
      'failing rows',
    )
    for (const row of rows.filter(each => each.status === 'warn')) note(`warn ${row.check}: ${row.found}`)
  })
  writeFileSync(TREE, tree().join('\n'))
  await check('helio install starts the agent and waits until it is ready', async () => {
    const text = await installed('install', '--role', 'agent')
    equal(/The agent is installed; it runs\./.test(text), true, text)
  })
  await check('systemd was told', async () => {
    equal(await show('StatusText'), 'board-1: pods are looked after', 'status')
    equal(`${await show('Type')} ${await show('WatchdogUSec')} ${await show('SubState')}`, 'notify 3min running', 'unit')
  })
  await check('systemd understands every line of the unit', async () => equal(await show('LoadError'), '', 'error'))
  await check('a second install changes nothing', async () => {
    const pid = await show('MainPID')
    const text = await installed('install', '--role', 'agent')
    equal(text.startsWith('unchanged:'), true, text)
    equal(await show('MainPID'), pid, 'process')
  })
}

/** A shorter leash than the installed one, or the test would take minutes. */
const shorterLeash = async (): Promise<void> => {
  mkdirSync(`/run/systemd/system/${UNIT}.d`, { recursive: true })
  writeFileSync(`/run/systemd/system/${UNIT}.d/test.conf`, '[Service]\nWatchdogSec=20\nStandardError=append:/var/log/helio.log\n')
  await systemctl('daemon-reload')
  await systemctl('restart', UNIT)
}

const checkWatchdog = async (before: string): Promise<void> => {
  await check('an agent that lives is left alone beyond the time of the watchdog', async () => {
    await shorterLeash()
    const pid = await show('MainPID')
    const start = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
    await until('the time of the watchdog passed twice', 120, async () =>
      Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) - start > 45 ? true : undefined,
    )
    equal(await show('MainPID'), pid, 'process')
  })
  await check('an agent that hangs is started anew, and its pods notice nothing', async () => {
    const pid = Number(await show('MainPID'))
    process.kill(pid, 'SIGSTOP')
    await until('another process', 120, async () =>
      Number(await show('MainPID')) !== pid && (await show('SubState')) === 'running' ? true : undefined,
    )
    equal(await show('NRestarts'), '1', 'restarts')
    await untilReady('hello', 3, 120)
    equal(pidsOf(await devicePods()), before, 'process ids')
  })
  await check('an agent that is killed is started anew, and its pods notice nothing', async () => {
    const pid = Number(await show('MainPID'))
    process.kill(pid, 'SIGKILL')
    await until('another process', 120, async () =>
      Number(await show('MainPID')) !== pid && (await show('SubState')) === 'running' ? true : undefined,
    )
    await untilReady('hello', 3, 120)
    equal(pidsOf(await devicePods()), before, 'process ids')
  })
}

export const underSystemd = async (): Promise<void> => {
  await check('systemd runs the board', () => equal(readFileSync('/proc/1/comm', 'utf8').trim(), 'systemd', 'first process'))
  await underInstall()
  const pods = await untilReady('hello', 3, 120)
  await check('all pods run under systemd', async () =>
    equal(await fetchPage(pods[0]?.status.podIP ?? ''), 'hello from the edge\n', 'page'),
  )
  await check('the agent is in the group of its service, and nobody else is', async () => {
    const pid = await show('MainPID')
    equal(readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim(), `0::/system.slice/${UNIT}`, 'group')
    equal(readFileSync(`${CGROUPS}/system.slice/${UNIT}/cgroup.procs`, 'utf8').trim(), pid, 'processes of the service')
    note(`memory of the service: ${await show('MemoryCurrent')} bytes`)
  })
  const before = pidsOf(await devicePods())
  const pids = pods.flatMap(pod => pod.containers.map(container => container.pid ?? 0))
  await check('stopping the service leaves the containers running', async () => {
    await systemctl('stop', UNIT)
    equal(alive(pids), 3, 'containers')
    equal(await fetchPage(pods[0]?.status.podIP ?? ''), 'hello from the edge\n', 'page')
  })
  await check('started again, it adopts them', async () => {
    await systemctl('start', UNIT)
    await untilReady('hello', 3, 120)
    equal(pidsOf(await devicePods()), before, 'process ids')
  })
  await check('limits outlast a reload of systemd', async () => {
    await systemctl('daemon-reload')
    for (const pod of pods) {
      const container = `${pod.containers[0]?.name}_${(await devicePods()).find(each => each.uid === pod.uid)?.restarts ?? 0}`
      equal(cgroupFile(pod, container, 'memory.max'), String(32 * 1024 * 1024), 'memory.max')
    }
  })
  await check('a restart of the service changes nothing for the pods', async () => {
    await systemctl('restart', UNIT)
    await untilReady('hello', 3, 120)
    equal(pidsOf(await devicePods()), before, 'process ids')
  })
  await checkWatchdog(before)
}

/** Everything stays on while systemd takes the board down. */
export const goDown = async (): Promise<void> => {
  writeFileSync('/run/goes-down-by-itself', '')
  await systemctl('--no-block', 'reboot')
}

const helioMounts = (): readonly string[] =>
  readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter(line => line.includes(DATA))

export const afterReboot = async (): Promise<void> => {
  await check('the agent was started at boot, and the pods with it', async () => {
    await untilReady('hello', 3, 180)
    equal(await systemctl('is-active', UNIT), 'active', 'state')
  })
  await check('uninstall --purge refuses while pods run, and stops nothing', async () => {
    const result = await run(HELIO, ['uninstall', '--purge'])
    equal(result.code, 1, result.stderr)
    equal(await systemctl('is-active', UNIT), 'active', 'state')
  })
  await check('uninstall leaves pods and state, and says so', async () => {
    const result = await run(HELIO, ['uninstall'])
    equal(result.code, 0, result.stderr)
    equal(/3 pods go on running/.test(result.stderr) && result.stderr.includes(DATA), true, result.stderr)
    equal(podGroups().length >= 3, true, 'groups of pods')
    equal(tree().join('\n'), readFileSync(TREE, 'utf8'), 'files of the board')
  })
  await check('installed again, the agent finds them', async () => {
    await installed('install', '--role', 'agent')
    await untilReady('hello', 3, 120)
  })
  await check('uninstall --stop-pods --purge leaves nothing', async () => {
    const result = await run(HELIO, ['uninstall', '--stop-pods', '--purge'])
    equal(result.code, 0, result.stderr)
    equal(tree().join('\n'), readFileSync(TREE, 'utf8'), 'files of the board')
    equal(existsSync(DATA), false, 'data folder')
    equal(helioMounts().join('; '), '', 'mounts')
    equal(existsSync(`${CGROUPS}/helio`), false, 'control groups')
    equal(/helio_/.test((await run('nft', ['list', 'tables'])).stdout), false, 'tables')
    equal(/\bhe[0-9a-f]{4}/.test((await run('ip', ['link'])).stdout), false, 'links')
    equal(
      (await run('ps', [])).stdout
        .split('\n')
        .filter(line => /conmon|httpd|helio/.test(line) && !/check\.ts|uninstall/.test(line))
        .join('; '),
      '',
      'processes',
    )
    equal(existsSync('/run/heliopause-agent'), false, 'folder for temporary files')
  })
}
