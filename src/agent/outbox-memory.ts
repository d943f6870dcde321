// The link's outboxes on the device's disk: a table of sealed items, written in batches that are one transaction with the link's counters,
// in turn with the other writes of the one connection. What does not open with the key is not there. See OutboxMemory in link/link.ts.

import { isObject } from '../base/json.ts'
import type { OutboxBatch, OutboxItem, OutboxMemory, OutboxName } from '../link/link.ts'
import { inTransaction, type Loaded, writeRow } from './sealed-rows.ts'

const SCHEMA =
  'CREATE TABLE IF NOT EXISTS outbox (outbox TEXT, cursor INTEGER, value TEXT NOT NULL, PRIMARY KEY (outbox, cursor)) WITHOUT ROWID'
const READ = 'SELECT outbox, cursor, value FROM outbox ORDER BY outbox, cursor'
/** One statement a batch: from one JSON array of [outbox, cursor, value]. */
const APPEND = `INSERT INTO outbox (outbox, cursor, value) SELECT value->>0, value->>1, value->>2 FROM json_each(?1) WHERE true
  ON CONFLICT (outbox, cursor) DO UPDATE SET value = excluded.value`
const FORGET = 'DELETE FROM outbox WHERE outbox = ?1 AND cursor <= ?2'

/** The fact that holds the link's counters. */
const STATE = 'outbox'

const NAMES: readonly OutboxName[] = ['events', 'telemetry']
const nameOf = (outbox: string, cursor: number): string => `outbox/${outbox}/${cursor}`

const parse = (text: string | undefined): unknown => {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

const itemOf = (row: { readonly outbox: string; readonly cursor: number }, text: string | undefined): OutboxItem | undefined => {
  const outbox = NAMES.find(name => name === row.outbox)
  const value = parse(text)
  if (outbox === undefined || !isObject(value)) return undefined
  const { log, text: item } = value
  return typeof log === 'string' && typeof item === 'string' ? { outbox, cursor: row.cursor, log, text: item } : undefined
}

/** `inTurn`: runs work after the connection's earlier work, alone. */
export const openOutboxMemory = async (loaded: Loaded, inTurn: <T>(work: () => Promise<T>) => Promise<T>): Promise<OutboxMemory> => {
  const { database, sealer, facts } = loaded
  await database.exec(SCHEMA)
  const rows = await database.all<{ outbox: string; cursor: number; value: string }>(READ)
  const read = rows.map(row => itemOf(row, sealer.open(nameOf(row.outbox, row.cursor), row.value))).filter(item => item !== undefined)
  /** As on disk, for a link that is opened later: seldom more than what one outage left. */
  const held = new Map(read.map(item => [nameOf(item.outbox, item.cursor), item]))
  const write = async ({ append, forget, state }: OutboxBatch): Promise<void> => {
    const sealed = append.map(({ outbox, cursor, log, text }) => [
      outbox,
      cursor,
      sealer.seal(nameOf(outbox, cursor), JSON.stringify({ log, text })),
    ])
    const before = facts.get(STATE)
    try {
      await inTransaction(database, async () => {
        if (sealed.length > 0) await database.run(APPEND, [JSON.stringify(sealed)])
        for (const name of NAMES) if (forget[name] !== undefined) await database.run(FORGET, [name, forget[name]])
        await writeRow(loaded, STATE, JSON.stringify(state))
      })
    } catch (error) {
      // What was rolled back is not what the disk holds.
      if (before === undefined) facts.delete(STATE)
      else facts.set(STATE, before)
      throw error
    }
    for (const item of append) held.set(nameOf(item.outbox, item.cursor), item)
    for (const [name, item] of held) if (item.cursor <= (forget[item.outbox] ?? 0)) held.delete(name)
  }
  return { load: () => ({ items: [...held.values()], state: parse(facts.get(STATE)) }), write: batch => inTurn(() => write(batch)) }
}
