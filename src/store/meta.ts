// The one row that describes a database: format, epoch, reserved revisions, whether it is in use; with a sum, like every other row.

import { crc32 } from './checksum.ts'
import { DamageError, FormatError } from './damage.ts'
import type { Database } from './database.ts'
import { RESTORE_REVISION_STEP, RESTORE_STEPS_MAX } from './limits.ts'

/** Raised when the tables change in a way older programs cannot read; since 2 values may be sealed. */
const FORMAT_VERSION = 2

/** A server's time between two restores. */
export interface Era {
  readonly epoch: string
  /** What it began with: of other epochs everything up to this revision is known here, and nothing above it. Absent in files of before. */
  readonly base?: number
}

export interface Meta extends Era {
  /** Revisions up to this one may have been handed out. */
  readonly ceiling: number
  /** False after a clean close. */
  readonly open: boolean
  /** Only in snapshots: the revision they are a copy of. A database that has it was put in place by somebody, and went back in time. */
  readonly snapshot?: number
}

/**
 * Where an epoch that begins with a backup counts on: above all that was ever handed out. How far is drawn from the epoch's own name, since
 * one backup may be restored twice, and what was handed out in between is known to nobody here.
 */
export const revisionAfterRestore = (ceiling: number, epoch: string): number =>
  ceiling + RESTORE_REVISION_STEP * (1 + (crc32(Buffer.from(epoch)) % RESTORE_STEPS_MAX))

/** Without anything else. */
export const eraOf = ({ epoch, base }: Era): Era => (base === undefined ? { epoch } : { epoch, base })

const sumOf = (format: number, { epoch, base, ceiling, open, snapshot }: Meta): number =>
  crc32(
    Buffer.from(
      [
        format,
        epoch,
        ceiling,
        open,
        ...(base === undefined ? [] : ['base', base]),
        ...(snapshot === undefined ? [] : ['snapshot', snapshot]),
      ].join('\n'),
    ),
  )

/** The value of the row. */
export const metaText = (meta: Meta): string => JSON.stringify({ format: FORMAT_VERSION, ...meta, sum: sumOf(FORMAT_VERSION, meta) })

export const WRITE_META = "INSERT INTO meta VALUES ('store', ?1) ON CONFLICT(name) DO UPDATE SET value = excluded.value"

const parse = (text: unknown): Meta & { readonly format: number } => {
  try {
    const found = JSON.parse(String(text)) as Meta & { readonly format: number; readonly sum: number }
    if (sumOf(found.format, found) === found.sum) return found
  } catch (error) {
    throw new DamageError('its description cannot be read', { cause: error })
  }
  throw new DamageError('its description is not what was written')
}

/** Throws DamageError, or FormatError when a newer program wrote the file. */
export const readMeta = async (database: Database): Promise<Meta> => {
  const tables = await database.all<{ name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
  const names = tables.map(table => table.name).join()
  if (names !== 'current,log,meta') throw new DamageError(names === '' ? 'it has no tables' : `its tables are ${names}`)
  const rows = await database.all<{ value: unknown }>("SELECT value FROM meta WHERE name = 'store' ORDER BY name")
  const { format, epoch, base, ceiling, open, snapshot } = parse(rows[0]?.value)
  if (format > FORMAT_VERSION) throw new FormatError(`its format ${format} is newer than ${FORMAT_VERSION}`)
  return { epoch, ceiling, open, ...(base === undefined ? {} : { base }), ...(snapshot === undefined ? {} : { snapshot }) }
}
