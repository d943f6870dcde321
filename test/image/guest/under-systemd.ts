// The agent as a service of systemd, which owns the root of the control groups: stopping and starting the service, and systemd looking
// after its own groups, leave pods alone.

import { existsSync, readFileSync } from 'node:fs'
import { CGROUPS, cgroupFile, check, devicePods, equal, fetchPage, pidsOf, run, untilReady } from './board.ts'

const systemctl = async (...args: string[]): Promise<string> => {
  const result = await run('systemctl', args)
  if (result.code !== 0) throw new Error(`systemctl ${args.join(' ')}: ${result.stderr}`)
  return result.stdout
}

const alive = (pids: readonly number[]): number => pids.filter(pid => existsSync(`/proc/${pid}/exe`)).length

export const underSystemd = async (): Promise<void> => {
  await check('systemd runs the board', () => equal(readFileSync('/proc/1/comm', 'utf8').trim(), 'systemd', 'first process'))
  await check('the service starts', () => systemctl('start', 'helio.service'))
  const pods = await untilReady('hello', 3, 120)
  await check('all pods run under systemd', async () =>
    equal(await fetchPage(pods[0]?.status.podIP ?? ''), 'hello from the edge\n', 'page'),
  )
  await check('the agent is in the group of its service', async () => {
    const pid = (await systemctl('show', '-P', 'MainPID', 'helio.service')).trim()
    equal(readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim(), '0::/system.slice/helio.service', 'group')
    equal(readFileSync(`${CGROUPS}/system.slice/helio.service/cgroup.procs`, 'utf8').trim(), pid, 'processes of the service')
  })
  const before = pidsOf(await devicePods())
  const pids = pods.flatMap(pod => pod.containers.map(container => container.pid ?? 0))
  await check('stopping the service leaves the containers running', async () => {
    await systemctl('stop', 'helio.service')
    equal(alive(pids), 3, 'containers')
    equal(await fetchPage(pods[0]?.status.podIP ?? ''), 'hello from the edge\n', 'page')
  })
  await check('started again, it adopts them', async () => {
    await systemctl('start', 'helio.service')
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
    await systemctl('restart', 'helio.service')
    await untilReady('hello', 3, 120)
    equal(pidsOf(await devicePods()), before, 'process ids')
  })
}
