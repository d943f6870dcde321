// The one row that describes a database: format, epoch, reserved revisions, whether it is in use; with a sum, like every other row.

import { crc32 } from './checksum.ts'
import { DamageError, FormatError } from './damage.ts'
import type { Database } from './database.ts'

/** Raised when the tables change in a way older programs cannot read. */
const FORMAT_VERSION = 1

export interface Meta {
  readonly epoch: string
  /** Revisions up to this one may have been handed out. */
  readonly ceiling: number
  /** False after a clean close. */
  readonly open: boolean
}

const sumOf = (format: number, { epoch, ceiling, open }: Meta): number => crc32(Buffer.from(`${format}\n${epoch}\n${ceiling}\n${open}`))

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
  const { format, epoch, ceiling, open } = parse(rows[0]?.value)
  if (format > FORMAT_VERSION) throw new FormatError(`its format ${format} is newer than ${FORMAT_VERSION}`)
  return { epoch, ceiling, open }
}
