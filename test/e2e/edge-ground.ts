// Where a set of edge-configs comes up in a test: a server here, boards in networks of their own, started as the README of the set has it.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { findProgram } from '../../scripts/oci-image.ts'
import { freePort, type Running, run, runAs, SELF, temporaryDir, wipe } from './cluster.ts'
import { type EdgeSet, openEdgeSet, type Place, tracesOf } from './edge-set.ts'
import { type Site, whyNoSites } from './site.ts'

/** Networks are the machine's: two runs at once shall not have the same. */
export const SITE = 100 + 5 * (process.pid % 20)

/** Why a set cannot come up here. */
export const obstacle = (...programs: string[]): string | false => {
  const missing = ['crun', 'conmon', 'busybox', 'nsenter', ...programs].filter(name => !isThere(name))
  const why = whyNoSites() ?? (missing.length > 0 ? `there is no ${missing.join(', no ')}` : undefined)
  if (why === undefined) return false
  t.comment(`SKIPPED LOUDLY: a set of edge-configs does not come up: ${why}`)
  return why
}

const isThere = (program: string): boolean => {
  try {
    return existsSync(findProgram(program))
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

export interface DevicePod {
  readonly name: string
  readonly summary: string
  readonly ready: { readonly ready: number; readonly total: number }
  readonly containers: readonly { readonly name: string; readonly pid: number | null }[]
  readonly status: { readonly podIP?: string }
}

/** A set in the making; all that it starts is ended with the test. */
export interface Ground {
  readonly set: EdgeSet
  readonly dir: string
  readonly server: Place
  readonly token: () => string
  serve(): Promise<Running>
  board(line: string, name: string, site: Site, words?: Record<string, string>, ...more: string[]): Promise<Running>
  placeOf(name: string, site: Site): Place
  /** Stops what was started, and tells what is left of it. */
  end(): Promise<void>
}

export const begin = async (t: Test, name: string, sites: readonly Site[]): Promise<Ground> => {
  const dir = temporaryDir()
  const set = openEdgeSet(name, dir)
  const server: Place = { data: join(dir, 'server') }
  const port = await freePort()
  const roles: Running[] = []
  t.teardown(async () => {
    for (const role of roles) await role.kill()
    wipe(dir)
    for (const site of sites) site.remove()
  })
  set.change('config/server.yaml', 'port: 6443', `port: ${port}`)
  // Boards find everything that is not of their own network here.
  const [home] = sites
  for (const site of sites) await run(site.enter[0], [...site.enter.slice(1), 'ip', 'route', 'add', 'default', 'via', site.serverAddress])
  const started = async (role: Promise<Running>): Promise<Running> => {
    const running = await role
    roles.push(running)
    return running
  }
  const placeOf = (board: string, site: Site): Place => ({ data: join(dir, board), enter: site.enter })
  const token = (): string => readFileSync(join(server.data, 'join-token'), 'utf8').trim()
  return {
    set,
    dir,
    server,
    token,
    placeOf,
    serve: () => started(set.start(`helio server --config edge-configs/${name}/config/server.yaml`, server, {})),
    board: (line, board, site, words = {}, ...more) =>
      started(
        set.start(line, placeOf(board, site), { TOKEN: token(), ...words }, '--server', `https://${home?.serverAddress}:${port}`, ...more),
      ),
    async end() {
      await set.rehearse(token())
      for (const role of roles) if (role.child.exitCode === null && role.child.signalCode === null) await role.stop()
      for (const site of sites) t.strictSame(await tracesOf(dir, site.enter), [], 'nothing of it is left')
      t.strictSame(set.left(), [], 'every command of the README was run')
    },
  }
}

export const podsOf = async ({ data }: Place): Promise<DevicePod[]> =>
  (JSON.parse((await runAs(SELF, ['device', 'pods', '-o', 'json', '--data-dir', data])).stdout || '{"items":[]}') as { items: DevicePod[] })
    .items
export const podOf = async (place: Place, start: string): Promise<DevicePod | undefined> =>
  (await podsOf(place)).find(pod => pod.name.startsWith(start))
export const pidsOf = async (place: Place): Promise<Record<string, number | null>> =>
  Object.fromEntries((await podsOf(place)).flatMap(pod => pod.containers.map(({ name, pid }) => [`${pod.name}/${name}`, pid])))
export const isReady = (pod: DevicePod | undefined): boolean =>
  pod !== undefined && pod.ready.ready === pod.ready.total && pod.summary === 'Running'
export const isEmpty = async (places: readonly Place[]): Promise<boolean> =>
  (await Promise.all(places.map(podsOf))).every(pods => pods.length === 0)
