// Hands the machine's outputs to whoever carries them out: steps to the executor, reports and events to the contact with the server (kept
// until there is one), memories to the disk. No policy.

import { type Clock, timestamp } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Action } from './action.ts'
import type { Contact } from './contact.ts'
import type { Executor } from './executor.ts'
import { CLOSE_WAIT_MS } from './limits.ts'
import { removePodLogs } from './log-files.ts'
import type { LogRotation } from './log-rotation.ts'
import type { Input, Output } from './machine.ts'
import type { Remembering } from './remembering.ts'

export interface Carrier {
  carry(output: Output): void
  /** From now on there is someone to tell; what was kept comes first. */
  connect(contact: Contact): void
  /** Settles when the steps under way have ended, or after a while. */
  close(): Promise<void>
}

export interface CarrierDeps {
  readonly clock: Pick<Clock, 'now' | 'sleep'>
  readonly log: Log
  readonly executor: Executor
  readonly rotation: LogRotation
  readonly remembering: Remembering
  readonly logsDir: string
  readonly send: (input: Input) => void
}

export const createCarrier = (deps: CarrierDeps): Carrier => {
  const { clock, log } = deps
  const inFlight = new Set<Promise<void>>()
  const backlog: ((contact: Contact) => void)[] = []
  const hold: { contact: Contact | undefined; closed: boolean } = { contact: undefined, closed: false }
  const tell = (fn: (contact: Contact) => void): void => {
    if (hold.contact) fn(hold.contact)
    else backlog.push(fn)
  }
  const act = (action: Action): void => {
    const ended = deps.executor.carryOut(action).then(
      result => {
        if (result.container) deps.rotation.track(result.container)
        deps.send({ on: 'done', action, result })
      },
      (error: unknown) => {
        // What is cut off by closing is done by the next agent.
        log[hold.closed ? 'debug' : 'error'](`${action.do} failed`, { uid: 'uid' in action ? action.uid : '', error: messageOf(error) })
        deps.send({ on: 'failed', action, message: messageOf(error) })
      },
    )
    // A stop may take its grace, a probe its time: closing waits for neither.
    if (action.do === 'stopContainer' || action.do === 'probe') return
    inFlight.add(ended)
    void ended.finally(() => inFlight.delete(ended))
  }
  const event = ({ record, note }: Extract<Output, { do: 'event' }>): void => {
    const { namespace, name, uid } = record
    log.info(note.note, { reason: note.reason, namespace, pod: name })
    const fieldPath = note.container === undefined ? {} : { fieldPath: `spec.containers{${note.container}}` }
    const regarding = { kind: 'Pod', namespace, name, uid, ...fieldPath }
    const time = timestamp(clock.now())
    tell(contact => contact.event({ regarding, type: note.type, reason: note.reason, note: note.note, time }))
  }
  /** A folder that cannot be removed now (a disk that failed) is found again by the next agent. */
  const forgetLogs = ({ uid }: Extract<Output, { do: 'forgetLogs' }>): void => {
    try {
      removePodLogs(deps.logsDir, uid)
    } catch (error) {
      log.error('logs not removed', { uid, error: messageOf(error) })
    }
  }
  const table: { readonly [K in Output['do']]: (output: Extract<Output, { do: K }>) => void } = {
    act: output => act(output.action),
    report: ({ key, value }) => tell(contact => contact.report(key, value)),
    event,
    remember: ({ uid, memory }) => deps.remembering.pod(uid, memory),
    keepHolds: ({ holds }) => deps.remembering.holds(holds),
    forgetLogs,
  }
  return {
    carry: output => (table[output.do] as (output: Output) => void)(output),
    connect(contact) {
      hold.contact = contact
      for (const fn of backlog.splice(0)) fn(contact)
    },
    async close() {
      hold.closed = true
      const stop = new AbortController()
      await Promise.race([Promise.allSettled([...inFlight]), clock.sleep(CLOSE_WAIT_MS, stop.signal)])
      stop.abort()
    },
  }
}
