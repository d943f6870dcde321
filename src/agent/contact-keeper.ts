// When the server was last heard, over restarts of the agent: told to the machine at its start and at each change, and kept on disk where
// a pod asks to be stopped by silence. Time is counted by the kernel's uptime, which lasts as long as a boot; a reboot makes it unknown.

import { messageOf } from '../base/errors.ts'
import type { HostFacts } from '../base/host-facts.ts'
import { isObject } from '../base/json.ts'
import type { Log } from '../base/log.ts'
import { STOP_AFTER } from '../kinds/disconnection.ts'
import type { Document } from '../link/link.ts'
import { SILENCE_PATIENCE_MS } from './limits.ts'
import type { AgentMemory } from './memory.ts'
import type { ContactState } from './silence.ts'

interface Kept {
  readonly bootID: string
  readonly connected: boolean
  /** Uptime when the server was last heard; 0 while connected. */
  readonly atSeconds: number
}

const isKept = (value: unknown): value is Kept =>
  isObject(value) &&
  typeof value['bootID'] === 'string' &&
  typeof value['connected'] === 'boolean' &&
  typeof value['atSeconds'] === 'number'

export interface ContactKeeperDeps {
  readonly clock: { mono(): number }
  readonly log: Log
  readonly memory: Pick<AgentMemory, 'fact' | 'saveFact'>
  readonly hostFacts: () => Pick<HostFacts, 'bootID' | 'uptimeSeconds'>
  /** To the machine. */
  readonly tell: (contact: ContactState) => void
}

export interface ContactKeeper {
  /** For the machine's start. */
  readonly first: ContactState
  /** The link came up, or went down having heard the server last at `lastMs` (monotonic). */
  changed(connected: boolean, lastMs: number | undefined): void
  /** Pods that ask for it may have come. */
  document(document: Document): void
  /** Before the link is closed: that is no silence. Settles when what is known is on disk. */
  close(): Promise<void>
}

/** What a new agent may believe: the very silence it knows of, a little patience where it cannot know, none after a reboot. */
const firstOf = (kept: unknown, bootID: string, uptimeSeconds: number, monoMs: number): ContactState => {
  if (isKept(kept) && kept.bootID !== bootID) return { connected: false, sinceAtMs: monoMs, patienceMs: Number.NEGATIVE_INFINITY }
  if (!isKept(kept) || kept.connected) return { connected: false, sinceAtMs: monoMs, patienceMs: SILENCE_PATIENCE_MS }
  const silentMs = Math.max(0, uptimeSeconds - kept.atSeconds) * 1000
  return { connected: false, sinceAtMs: monoMs - silentMs, patienceMs: Number.POSITIVE_INFINITY }
}

export const keepContact = ({ clock, log, memory, hostFacts, tell }: ContactKeeperDeps): ContactKeeper => {
  const { bootID, uptimeSeconds } = hostFacts()
  const startMonoMs = clock.mono()
  const first = firstOf(memory.fact('contact'), bootID, uptimeSeconds, startMonoMs)
  const state = { now: first, wanted: false, closed: false }
  const uptimeAt = (monoMs: number): number => Math.round(uptimeSeconds + (monoMs - startMonoMs) / 1000)
  const save = async (): Promise<void> => {
    const { connected, sinceAtMs, patienceMs } = state.now
    // What is not known is not written down as if it were.
    if (!state.wanted || patienceMs < Number.POSITIVE_INFINITY) return
    const kept: Kept = { bootID, connected, atSeconds: connected ? 0 : uptimeAt(sinceAtMs) }
    await memory.saveFact('contact', kept).catch((error: unknown) => log.error('keep the contact', { error: messageOf(error) }))
  }
  return {
    first,
    changed(connected, lastMs) {
      if (state.closed) return
      const nowMs = clock.mono()
      state.now = { connected, sinceAtMs: lastMs ?? nowMs, patienceMs: Number.POSITIVE_INFINITY, noticedAtMs: nowMs }
      tell(state.now)
      void save()
    },
    document(document) {
      state.wanted = document.pods.some(pod => pod.metadata.annotations?.[STOP_AFTER] !== undefined)
      void save()
    },
    async close() {
      state.closed = true
      if (state.now.connected) state.now = { ...state.now, connected: false, sinceAtMs: clock.mono() }
      await save()
    },
  }
}
