// What lies on a simulated device's disk, and the agent's memory over it: every write is pending until the disk has it, so a crash loses
// what was not synced. Facts and outboxes are read back as they are on the disk, as a new agent finds them.

import type { Hold } from '../../src/agent/holds.ts'
import type { AgentMemory } from '../../src/agent/memory.ts'
import type { PodMemory } from '../../src/agent/pod-record.ts'
import type { KeptUplink } from '../../src/agent/uplink.ts'
import type { Document, HeldHead, OutboxItem } from '../../src/link/link.ts'
import type { SimDisk } from './disk.ts'

export interface Held {
  readonly head: HeldHead
  readonly document: Document
}

/** What lies on the device's disk. */
export interface Files {
  held: Held | undefined
  readonly memories: Map<string, PodMemory>
  holds: readonly Hold[]
  readonly folders: Set<string>
  readonly facts: Map<string, unknown>
  outbox: readonly OutboxItem[]
  outboxState: unknown
  uplink: KeptUplink
}

export const newFiles = (uplink: KeptUplink): Files => ({
  held: undefined,
  memories: new Map(),
  holds: [],
  folders: new Set(),
  facts: new Map(),
  outbox: [],
  outboxState: undefined,
  uplink,
})

export type SimMemory = Pick<AgentMemory, 'savePods' | 'saveHolds' | 'link' | 'outbox' | 'fact' | 'saveFact'> & {
  saveUplink(kept: KeptUplink): Promise<void>
}

/** `saved` is called when a head has become durable. */
export const createMemory = (files: Files, disk: Pick<SimDisk, 'write'>, saved: (head: HeldHead) => void): SimMemory => {
  const write = (land: () => void): Promise<void> => new Promise(resolve => disk.write(land, resolve))
  /** Nothing of one machine's memory is another's: what is on disk is a copy. */
  const copy = <T>(value: T): T => (value === undefined ? value : (JSON.parse(JSON.stringify(value)) as T))
  return {
    link: {
      load: () => files.held,
      save: (head, document) =>
        write(() => {
          files.held = { head, document }
          saved(head)
        }),
    },
    outbox: {
      load: () => ({ items: files.outbox, state: files.outboxState }),
      write: ({ append, forget, state }) => {
        const added = copy(append)
        const counters = copy(state)
        return write(() => {
          files.outbox = [...files.outbox, ...added].filter(item => item.cursor > (forget[item.outbox] ?? 0))
          files.outboxState = counters
        })
      },
    },
    savePods: changes =>
      write(() => {
        for (const [uid, memory] of changes) {
          if (memory) files.memories.set(uid, memory)
          else files.memories.delete(uid)
        }
      }),
    saveHolds: holds => {
      const kept = copy(holds)
      return write(() => {
        files.holds = kept
      })
    },
    fact: key => files.facts.get(key),
    saveFact: (key, value) => {
      const kept = copy(value)
      return write(() => void files.facts.set(key, kept))
    },
    saveUplink: kept =>
      write(() => {
        files.uplink = kept
      }),
  }
}
