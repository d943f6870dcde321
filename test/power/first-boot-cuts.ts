// Power cuts over the first boot: SIGKILL to the agent, and in half of the cuts to its pods, at a moment drawn; with a server in reach or
// without one. The next start must run the pre-loaded pod, once, or, where the device has joined, what the server's document says.

import { once } from 'node:events'
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '../../src/base/random.ts'
import { Client } from '../e2e/client.ts'
import { freePort, type Running, SELF, startAs, startServer, temporaryDir, wipe } from '../e2e/cluster.ts'
import { flashDevice, NODES, podsOf, seedText, untilRunning } from '../e2e/first-boot-device.ts'
import { waitUntil } from '../e2e/waiting.ts'
import type { CutOptions } from './cuts.ts'

/** Of a first boot with a server, and a little more. */
const LATEST_MS = 2500
const PROGRESS_EVERY = 20

export interface FirstBootCounts {
  readonly cuts: number
  /** Found by the cut: no state at all, state but no server, a token used. */
  readonly untouched: number
  readonly begun: number
  readonly joined: number
  /** Cuts in which the pods died too. */
  readonly podsKilled: number
}

const killPods = async (device: string): Promise<void> => {
  for (const pod of await podsOf(device))
    for (const { pid } of pod.containers)
      try {
        if (pid !== null) process.kill(pid, 'SIGKILL')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
}

/** Starts the agent; the kernel ends it `afterMs` later, ready or not. */
const cutAgent = async (args: readonly string[], afterMs: number): Promise<void> => {
  const command = { command: 'timeout', args: ['-s', 'KILL', `${afterMs / 1000}`, SELF.command, ...SELF.args] }
  const running = await startAs(command, 'agent', ...args).catch((error: unknown) => {
    if (!/ended with/.test(String(error))) throw error
    return undefined
  })
  if (running && running.child.exitCode === null && running.child.signalCode === null) await once(running.child, 'exit')
}

type Found = 'untouched' | 'begun' | 'joined'
const foundIn = (device: string, seed: string): Found =>
  !existsSync(join(device, 'agent.db')) ? 'untouched' : readFileSync(seed, 'utf8').includes('helio1.') ? 'begun' : 'joined'

interface Cut {
  readonly flashed: string
  readonly name: string
  readonly server: string
  readonly token: string
  readonly client: Client | undefined
  readonly afterMs: number
  readonly withPods: boolean
}

/** One device from flash to work, with one cut; throws where it does not come up. */
const cutOne = async ({ flashed, name, server, token, client, afterMs, withPods }: Cut): Promise<Found> => {
  const device = temporaryDir()
  const roles: Running[] = []
  try {
    cpSync(flashed, device, { recursive: true, verbatimSymlinks: true })
    const seed = join(device, 'seed.yaml')
    writeFileSync(seed, seedText({ nodeName: name, server, token }))
    const args = ['--data-dir', device, '--seed', seed, '--runtime', 'process']
    await cutAgent(args, afterMs)
    const found = foundIn(device, seed)
    const agent = await startAs(SELF, 'agent', ...args)
    roles.push(agent)
    if (withPods) {
      await killPods(device)
      await agent.kill()
      roles.push(await startAs(SELF, 'agent', ...args))
    }
    if (client === undefined) await untilRunning(device, 'first')
    else {
      await waitUntil('the node is there', async () => (await client.request('GET', `${NODES}/${name}`)).status === 200)
      await waitUntil('the token is gone', async () => !readFileSync(seed, 'utf8').includes('helio1.'))
      await waitUntil('the document of a server took over', async () => (await podsOf(device)).length === 0)
    }
    return found
  } finally {
    for (const role of roles) await role.kill()
    wipe(device)
  }
}

/** Throws on the first device that a cut kept from its work. */
export const cutFirstBoots = async ({ cuts, seed, say }: CutOptions): Promise<FirstBootCounts> => {
  const random = seededRandom(seed)
  const draw = (below: number): number => random.int(below)
  const [flashed, cluster] = [temporaryDir(), temporaryDir()]
  const counts = { cuts: 0, untouched: 0, begun: 0, joined: 0, podsKilled: 0 }
  const port = await freePort()
  const running = await startServer(cluster, port, '--no-agent')
  const client = await Client.open(join(cluster, 'kubeconfig'))
  try {
    await flashDevice(flashed)
    const token = readFileSync(join(cluster, 'join-token'), 'utf8').trim()
    const nowhere = `https://127.0.0.1:${await freePort()}`
    while (counts.cuts < cuts) {
      const [reached, withPods, afterMs] = [draw(2) === 0, draw(2) === 0, 1 + draw(LATEST_MS)]
      const name = `cut-${counts.cuts}`
      const server = reached ? running.url : nowhere
      const found = await cutOne({ flashed, name, server, token, client: reached ? client : undefined, afterMs, withPods }).catch(
        (cause: unknown) => {
          throw new Error(
            `cut ${counts.cuts} at ${afterMs} ms, server ${reached ? 'in reach' : 'gone'}, pods ${withPods ? 'killed' : 'left'}`,
            {
              cause,
            },
          )
        },
      )
      counts.cuts++
      counts[found]++
      if (withPods) counts.podsKilled++
      if (counts.cuts % PROGRESS_EVERY === 0) say(`${counts.cuts} of ${cuts} cuts`)
    }
  } finally {
    client.close()
    await running.kill()
    wipe(flashed)
    wipe(cluster)
  }
  return counts
}
