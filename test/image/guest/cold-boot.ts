// Boots after a power cut, with the agent alone and no server: everything that ran is there again, and what had ended stays ended.

import { readdirSync, readFileSync } from 'node:fs'
import {
  CGROUPS,
  check,
  DATA,
  devicePods,
  equal,
  fetchPage,
  killRole,
  logTail,
  note,
  pidsOf,
  podGroups,
  startRole,
  untilConnected,
  untilReady,
} from './board.ts'

const bringBack = async (): Promise<void> => {
  const pods = await untilReady('hello', 3, 120)
  await check('the agent alone brings back all pods after a power cut', () => equal(pods.length, 3, 'ready pods'))
  for (const each of pods)
    await check(`the page is served by ${each.name} again`, async () =>
      equal(await fetchPage(each.status.podIP ?? ''), 'hello from the edge\n', 'page'),
    )
  await check('a pod that completed before the cut has not run again', async () => {
    const once = (await devicePods()).find(pod => pod.name === 'once')
    equal(once?.status.phase, 'Succeeded', 'phase')
    equal(readFileSync('/var/lib/marks/once', 'utf8'), 'ran\n', 'marks')
  })
  await check('only pods of the device have control groups and folders', async () => {
    const living = (await devicePods()).map(pod => pod.uid)
    equal(podGroups().filter(uid => !living.includes(uid)).length, 0, JSON.stringify(podGroups()))
    const folders = [...readdirSync(`${DATA}/run/sandboxes`), ...readdirSync(`${DATA}/run/containers`)]
    const stale = folders.filter(name => !living.includes(name.split('_')[0] ?? ''))
    equal(stale.length, 0, `folders of nobody: ${stale.join(', ')}`)
  })
}

/** A board whose kernel was booted without the memory controller, as Raspberry Pi's is unless asked: limits of memory are left out. */
export const noMemoryController = async (): Promise<void> => {
  await check('the kernel has no memory controller', () =>
    equal(readFileSync(`${CGROUPS}/cgroup.controllers`, 'utf8').includes('memory'), false, 'memory'),
  )
  await startRole('agent')
  await bringBack()
  await check('the log says that memory is not limited', () =>
    equal(/limits without effect.*"memory"/.test(logTail(100)), true, 'found in the log'),
  )
}

/** No server anywhere. */
export const coldBoot = async (): Promise<void> => {
  const agent = await startRole('agent')
  await bringBack()
  note(`restarts: ${(await devicePods()).map(pod => `${pod.name} ${pod.restarts}`).join(', ')}`)
  await killRole(agent)
}

/** The clock stands in 1970, when no certificate was valid yet. */
export const wrongClock = async (): Promise<void> => {
  await check('the clock stands in 1970', () => equal(new Date().getFullYear(), 1970, 'year'))
  const agent = await startRole('agent')
  await bringBack()
  const before = pidsOf(await devicePods())
  await killRole(agent)
  await startRole('server')
  await check('with a server in 1970, too, the device connects', untilConnected)
  await check('nothing restarts when the server is back', async () => equal(pidsOf(await devicePods()), before, 'process ids'))
}
