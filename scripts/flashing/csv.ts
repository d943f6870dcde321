// Comma-separated values as RFC 4180 has them: quoted fields with doubled quotes, commas and line ends in them; LF or CRLF. A field that is
// half quoted, or a quote that never ends, is refused with its line.

import { Refusal } from './refusal.ts'

export const CSV_BYTES_MAX = 16 * 1024 * 1024
export const CSV_ROWS_MAX = 100_000
const FIELDS_MAX = 64

export interface CsvRow {
  /** Line in the file where the row begins, from 1. */
  readonly line: number
  readonly fields: readonly string[]
}

/** Rows in order; empty lines are left out. */
export const parseCsv = (text: string): readonly CsvRow[] => {
  const rows: CsvRow[] = []
  let line = 1
  let at = text.startsWith('\ufeff') ? 1 : 0
  while (at < text.length) {
    const startLine = line
    const fields: string[] = []
    for (;;) {
      let field: string
      if (text[at] === '"') {
        field = ''
        at++
        for (;;) {
          const end = text.indexOf('"', at)
          if (end < 0) throw new Refusal(`line ${startLine}: a quote is never closed`)
          field += text.slice(at, end)
          at = end + 1
          if (text[at] !== '"') break
          field += '"'
          at++
        }
        line += field.split('\n').length - 1
        if (at < text.length && !',\r\n'.includes(text[at] ?? '')) throw new Refusal(`line ${line}: text behind a closing quote`)
      } else {
        const end = /[,\r\n]/g
        end.lastIndex = at
        const stop = end.exec(text)?.index ?? text.length
        field = text.slice(at, stop).trim()
        if (field.includes('"')) throw new Refusal(`line ${line}: a quote within a field that is not quoted`)
        at = stop
      }
      fields.push(field)
      if (fields.length > FIELDS_MAX) throw new Refusal(`line ${startLine}: more than ${FIELDS_MAX} fields`)
      if (text[at] !== ',') break
      at++
    }
    if (text[at] === '\r') at++
    if (at < text.length && text[at] !== '\n') throw new Refusal(`line ${line}: a carriage return within a line`)
    at++
    line++
    if (fields.length > 1 || fields[0] !== '') rows.push({ line: startLine, fields })
    if (rows.length > CSV_ROWS_MAX) throw new Refusal(`more than ${CSV_ROWS_MAX} rows`)
  }
  return rows
}
