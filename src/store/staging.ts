// Preconditions and revisions: turns a write into a staged operation against the newest state, committed or about to be.

import { ApiError } from '../base/errors.ts'
import { type Memory, StoredEntry, serialise } from './entry.ts'
import type { EventType, Row } from './journal.ts'
import { VALUE_BYTES_MAX } from './limits.ts'
import type { Entry, Write } from './store.ts'

/** Told once how a write ended. */
export type WriteDone = (error: ApiError | undefined, entry: Entry | undefined) => void

/** A write between its call and its commit. */
export interface Operation {
  readonly type: EventType
  /** The state it leads to; for DELETED the final state that the event carries. */
  readonly entry: StoredEntry
  readonly lazy: boolean
  readonly done: WriteDone
}

export const rowOf = ({ type, entry }: Pick<Operation, 'type' | 'entry'>): Row => ({
  type,
  key: entry.key,
  revision: entry.revision,
  createRevision: entry.createRevision,
  value: entry.value,
})

/** Throws the ApiError of a precondition that does not hold. */
export const checkWrite = (write: Write, base: Entry | undefined): void => {
  if (write.do === 'create') {
    if (base) throw new ApiError('AlreadyExists', `create ${write.key}: it already exists`)
    return
  }
  if (!base) throw new ApiError('NotFound', `${write.do} ${write.key}: not found`)
  if (write.expectRevision !== undefined && write.expectRevision !== base.revision) {
    throw new ApiError(
      'Conflict',
      `${write.do} ${write.key}: the object has been modified; please apply your changes to the latest version and try again`,
    )
  }
}

/** The operation of a write whose precondition holds. Throws RequestEntityTooLarge. */
export const stage = (write: Write, base: Entry | undefined, revision: number, memory: Memory, done: WriteDone): Operation => {
  const object = write.do === 'delete' ? (write.object ?? base!.object) : write.object
  const value = serialise(object, revision)
  if (value.length > VALUE_BYTES_MAX) {
    throw new ApiError('RequestEntityTooLarge', `${write.do} ${write.key}: object of ${value.length} bytes is above ${VALUE_BYTES_MAX}`, {
      hint: 'split the object, or keep bulk data in a volume',
    })
  }
  const entry = new StoredEntry({ key: write.key, revision, createRevision: base?.createRevision ?? revision, value }, memory)
  const type = write.do === 'delete' ? 'DELETED' : base ? 'MODIFIED' : 'ADDED'
  return { type, entry, lazy: write.lazy === true, done }
}
