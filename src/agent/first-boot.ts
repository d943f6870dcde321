// The life of a device before its server: who it is comes from the seed, what runs from the pre-loaded manifests. Both are over for good
// once there is an identity, or a document of a server. A power cut at any moment finds the files as they were, or done.

import { jitteredMs } from '../base/backoff.ts'
import type { Clock } from '../base/clock.ts'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Files } from '../base/files.ts'
import type { Log } from '../base/log.ts'
import type { Pki } from '../base/pki.ts'
import type { Random } from '../base/random.ts'
import type { Document } from '../link/link.ts'
import { pinOf } from './join.ts'
import { JOIN_BACKOFF } from './limits.ts'
import type { AgentMemory, DeviceIdentity } from './memory.ts'
import { hasPreload, replacePreload } from './preload-folder.ts'
import { destroyTokens, findSeed, readSeed, type Seed } from './seed.ts'

export interface FirstBootDeps {
  readonly dir: string
  /** What the device is called without a seed. */
  readonly nodeName: string
  readonly join?: { readonly server: string; readonly token?: string }
  /** Where a seed may lie, and whether the name above was asked for, so that the seed's does not count. Left out: no seed, ever. */
  readonly seed?: {
    readonly places: readonly string[]
    readonly nameGiven: boolean
    /** A seed lies where there was none: a boot partition that was late. Who the device is has to be asked anew, from the start. */
    readonly appeared?: () => void
  }
  readonly files: Files
  readonly log: Log
  readonly pki: Pick<Pki, 'publicKeyPin'>
  readonly memory: Pick<AgentMemory, 'identity' | 'held' | 'keyLost' | 'alsoWarn'>
}

export interface FirstBoot {
  readonly nodeName: string
  readonly labels: Readonly<Record<string, string>>
  readonly join: { readonly server: string; readonly token?: string } | undefined
  /** Kept with the identity that joining makes. */
  readonly ways: Seed['ways'] | undefined
  /** There is nowhere to join and no seed yet: one may still come. */
  readonly lacksSeed: boolean
  /** What runs until a server's document comes. */
  readonly document: Document | undefined
  /** The identity is on disk. */
  joined(identity: DeviceIdentity): void
  /** A server's document is on disk. */
  replaced(): void
}

/** After joining, and at a start after a power cut in between: no token of our own server stays readable. */
const spendSeed = ({ seed, log, pki, memory }: FirstBootDeps, identity: DeviceIdentity): void => {
  const path = findSeed(seed?.places ?? [])
  if (path === undefined) return
  try {
    const pin = pki.publicKeyPin(identity.ca)
    if (destroyTokens(path, token => pinOf(token) === pin)) log.info('token in the seed overwritten: it was used', { file: path })
    else if (destroyTokens(path, () => false)) log.info('seed ignored: this device has joined another server', { file: path })
  } catch (error) {
    const problem = `the token in ${path} could not be overwritten: ${messageOf(error)}`
    log.error('token in the seed not overwritten', { file: path, error: messageOf(error), hint: 'remove it from the file yourself' })
    memory.alsoWarn(() => [problem])
  }
}

type Read = { readonly seed: Seed | undefined; readonly problem?: ApiError }

const seedOf = async ({ seed }: FirstBootDeps): Promise<Read> => {
  const path = findSeed(seed?.places ?? [])
  if (path === undefined) return { seed: undefined }
  try {
    const read = await readSeed(path)
    if (!read.used) return { seed: read }
    const problem = new ApiError('Forbidden', `seed ${path}: its token was used, and this device has no identity any more`, {
      hint: 'give the device a new seed, or --server and --token',
    })
    return { seed: read, problem }
  } catch (error) {
    if (error instanceof ApiError) return { seed: undefined, problem: error }
    throw error
  }
}

/** A seed that cannot be read may have named the device: joining under another name would be wrong. */
const joinOf = (deps: FirstBootDeps, { seed, problem }: Read): FirstBoot['join'] => {
  if (problem !== undefined && seed === undefined && deps.seed?.nameGiven !== true) return undefined
  const server = deps.join?.server ?? seed?.server
  const token = deps.join?.token ?? seed?.token
  return server === undefined ? undefined : { server, ...(token === undefined ? {} : { token }) }
}

const replaceQuietly = ({ dir, files, log }: FirstBootDeps): void => {
  try {
    replacePreload(dir, files)
  } catch (error) {
    // The document itself is on disk, and wins; the next start tries again.
    log.error('mark pre-loaded manifests as replaced', { error: messageOf(error) })
  }
}

/** Rejects when the seed is unusable and there is nothing else to do; a problem beside pods that can run is told and waits. */
export const openFirstBoot = async (deps: FirstBootDeps): Promise<FirstBoot> => {
  const { dir, log, memory } = deps
  // Pods of a document that can no longer be read go on as they are; the manifests of the first day are not for them.
  const alone = memory.held === undefined && !memory.keyLost && hasPreload(dir)
  const found: Read = alone || memory.identity === undefined ? await seedOf(deps) : { seed: undefined }
  // Who has joined does not ask who it is; only its pods keep their addresses until the document comes.
  const read: Read = memory.identity === undefined ? found : { seed: undefined }
  const { seed, problem } = read
  const nodeName = memory.identity?.nodeName ?? (deps.seed?.nameGiven ? deps.nodeName : (seed?.nodeName ?? deps.nodeName))
  const { document, problems } = alone
    ? await (await import('./preload.ts')).readPreload(deps, { device: nodeName, podCIDR: found.seed?.podCIDR })
    : { document: undefined, problems: [] }
  const join = joinOf(deps, read)
  if (problem !== undefined && document === undefined && join?.token === undefined) throw problem
  const told = [...(problem ? [problem.message] : []), ...problems.map(each => `not run: ${each}`)]
  if (problem) log.error('seed not usable', { error: problem.message, hint: problem.hint })
  for (const each of problems) log.error('pre-loaded manifest not run', { problem: each })
  if (told.length > 0) memory.alsoWarn(() => told)
  if (document) log.info('pre-loaded pods run until a server says otherwise', { pods: document.pods.length })
  if (memory.held !== undefined) replaceQuietly(deps)
  if (memory.identity) spendSeed(deps, memory.identity)
  return {
    nodeName,
    labels: seed?.labels ?? {},
    join,
    ways: seed?.ways,
    lacksSeed: memory.identity === undefined && join === undefined && problem === undefined && seed === undefined,
    document,
    joined: identity => spendSeed(deps, identity),
    replaced: () => replaceQuietly(deps),
  }
}

/** Looks for a seed that is late, ever more rarely; settles when one was there, or at the signal. */
export const awaitSeed = async (
  { seed, clock, random, log }: Pick<FirstBootDeps, 'seed' | 'log'> & { readonly clock: Pick<Clock, 'sleep'>; readonly random: Random },
  signal: AbortSignal,
): Promise<void> => {
  for (let attempt = 0; seed?.appeared !== undefined && !signal.aborted; attempt++) {
    await clock.sleep(JOIN_BACKOFF.baseMs + jitteredMs(JOIN_BACKOFF, attempt, random), signal)
    const path = signal.aborted ? undefined : findSeed(seed.places)
    if (path === undefined) continue
    log.info('a seed has come: starting anew with it', { file: path })
    return seed.appeared()
  }
}
