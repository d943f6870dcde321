// Where a command writes: results to standard output, everything said to people to standard error. Colours on terminals only.

import { once } from 'node:events'
import type { CliDeps, CliStream } from './cli.ts'

export type Colour = 'red' | 'green' | 'yellow' | 'cyan' | 'dim' | 'bold'

const CODES: Readonly<Record<Colour, string>> = { red: '31', green: '32', yellow: '33', cyan: '36', dim: '2', bold: '1' }

export interface Output {
  /** Writes to standard output and waits while the reader is slow. */
  write(data: string | Uint8Array): Promise<void>
  line(text: string): Promise<void>
  /** A line on standard error. */
  note(text: string): void
  /** Replaces the line last written by `overwrite` on a terminal; '' removes it. */
  overwrite(text: string): void
  /** Colours text meant for standard output, or for standard error. */
  paint(colour: Colour, text: string, to?: 'stdout' | 'stderr'): string
  /** Standard error is a terminal. */
  readonly live: boolean
  readonly columns: number
}

const colourful = (stream: CliStream, env: CliDeps['env']): boolean =>
  stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb' && env['HELIO_COLOR'] !== 'never'

export const openOutput = (deps: Pick<CliDeps, 'stdout' | 'stderr' | 'env'>): Output => {
  const { stdout, stderr, env } = deps
  let overwritten = false
  const clear = (): void => {
    if (overwritten) stderr.write('\r\x1b[K')
    overwritten = false
  }
  const write = async (data: string | Uint8Array): Promise<void> => {
    clear()
    if (data.length > 0 && !stdout.write(data) && !stdout.destroyed) await once(stdout, 'drain')
  }
  return {
    write,
    line: text => write(`${text}\n`),
    note(text) {
      clear()
      stderr.write(`${text}\n`)
    },
    overwrite(text) {
      clear()
      if (text === '') return
      const width = Math.max(20, (stderr.columns || 80) - 1)
      stderr.write(text.length > width ? `${text.slice(0, width - 1)}…` : text)
      overwritten = true
    },
    paint: (colour, text, to = 'stdout') =>
      colourful(to === 'stdout' ? stdout : stderr, env) ? `\x1b[${CODES[colour]}m${text}\x1b[0m` : text,
    live: stderr.isTTY === true,
    columns: stdout.columns || 80,
  }
}
