// The trial of a new program, for the two roles: which program runs, and whether the role is healthy, asked over its own doors as anybody on
// this machine would. See agent/slots/trial.ts.

import { readFileSync, realpathSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import type { SlotRole } from './agent/slots/slots.ts'
import { type HealthCheck, type TrialWatch, watchTrial } from './agent/slots/trial.ts'
import { messageOf } from './base/errors.ts'
import { isObject } from './base/json.ts'
import type { Log } from './base/log.ts'
import { systemClock } from './host/clock.ts'
import { systemFiles } from './host/files.ts'
import { complain } from './main-options.ts'

/** A role that does not answer itself within this is not healthy. */
const ANSWER_MS_MAX = 10_000
/** An answer above this is none: a device has at most 110 pods. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024

/** The script that Node runs, or the executable. */
export const runningProgram = (): string => {
  const script = process.argv[1]
  const path = script !== undefined && /\/slots\/[ab]\/helio$/.test(script) ? script : process.execPath
  try {
    return realpathSync(path)
  } catch (error) {
    // It was removed or replaced while it ran: then it is in no slot.
    if (error instanceof Error && 'code' in error) return path
    throw error
  }
}

const textOf = (
  options: { readonly socketPath: string; readonly path: string } | { readonly url: string; readonly ca: string },
): Promise<string> =>
  new Promise((resolve, reject) => {
    const call = 'url' in options ? httpsRequest(options.url, { ca: options.ca, agent: false }) : httpRequest({ ...options, agent: false })
    const cancel = systemClock.after(ANSWER_MS_MAX, () => call.destroy(new Error(`no answer within ${ANSWER_MS_MAX} ms`)))
    call.on('error', error => {
      cancel()
      reject(error)
    })
    call.on('response', response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', chunk => {
        text += chunk
        if (text.length > ANSWER_BYTES_MAX) call.destroy(new Error('the answer is too long'))
      })
      response.on('end', () => {
        cancel()
        if (response.statusCode === 200) resolve(text)
        else reject(new Error(`answer ${response.statusCode}`))
      })
    })
    call.end()
  })

interface Seen {
  readonly uid: string
  readonly name: string
  readonly wanted: boolean
  readonly running: boolean
  /** The runtime has a container of it, or it has come to its end. */
  readonly placed: boolean
}

const podsOf = async (dataDir: string): Promise<readonly Seen[]> => {
  const answer: unknown = JSON.parse(await textOf({ socketPath: join(dataDir, 'agent.sock'), path: '/v1/pods' }))
  const items = isObject(answer) && Array.isArray(answer['items']) ? answer['items'].filter(isObject) : []
  return items.map(item => {
    const phase = isObject(item['status']) ? item['status']['phase'] : undefined
    const containers = Array.isArray(item['containers']) ? item['containers'].filter(isObject) : []
    return {
      uid: String(item['uid']),
      name: `${item['namespace']}/${item['name']}`,
      wanted: item['desired'] === true && item['deleting'] !== true,
      running: phase === 'Running',
      placed: phase === 'Succeeded' || phase === 'Failed' || containers.some(container => container['id'] !== ''),
    }
  })
}

/** Above this the system knows no socket path, and the agent does without. */
const SOCKET_PATH_BYTES_MAX = 107

/** The agent answers on its socket, and the pods that ran before it are in its hands: adopted, or started again. */
export const agentHealth = (dataDir: string): HealthCheck => {
  if (Buffer.byteLength(join(dataDir, 'agent.sock')) > SOCKET_PATH_BYTES_MAX) return async () => undefined
  // What ran is asked at once, and what became of it is asked later.
  const before = podsOf(dataDir).then(
    pods => ({ ran: new Set(pods.filter(pod => pod.running).map(pod => pod.uid)) }),
    (error: unknown) => ({ ran: new Set<string>(), problem: messageOf(error) }),
  )
  return async () => {
    try {
      const { ran } = await before
      const lost = (await podsOf(dataDir)).find(pod => pod.wanted && !pod.placed && ran.has(pod.uid))
      return lost && `pod ${lost.name} ran before and has no container now`
    } catch (error) {
      return `agent.sock: ${messageOf(error)}`
    }
  }
}

/** The server says that it is ready, over its own port. */
export const serverHealth =
  (dataDir: string, url: string): HealthCheck =>
  async () => {
    try {
      await textOf({ url: `${url}/readyz`, ca: readFileSync(join(dataDir, 'pki/ca.crt'), 'utf8') })
      return undefined
    } catch (error) {
      return `${url}/readyz: ${messageOf(error)}`
    }
  }

/** All of them. */
export const allHealthy =
  (checks: readonly HealthCheck[]): HealthCheck =>
  async () => {
    for (const check of checks) {
      const why = await check()
      if (why !== undefined) return why
    }
    return undefined
  }

/** At the very start of a role: from here its deadline counts. */
export const openTrial = (role: SlotRole, log: Log): TrialWatch =>
  watchTrial(
    {
      files: systemFiles,
      clock: systemClock,
      log,
      program: runningProgram(),
      fail(why) {
        complain(
          `${role}: on trial, and not healthy in time: ${why}`,
          'helio upgrade status; after three such starts the version before runs again',
        )
        process.exit(1)
      },
    },
    role,
  )
