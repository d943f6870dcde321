// What the measurements of the link say: figures with the mark they are held to, as a table for people or as JSON for notes.

import { systemClock } from '../../src/host/clock.ts'
import { round } from './measure.ts'

export interface Figure {
  readonly part: string
  readonly what: string
  readonly value: number
  /** `B`, `KB`, `MB`, `s`, `%` … */
  readonly unit: string
  /** At most this, in the same unit. */
  readonly wanted?: number
  /** What it is made of. */
  readonly from?: string
}

export interface Bench {
  say(figure: Figure): void
  /** What is being done, for whoever waits. */
  note(text: string): void
  readonly seconds: number
  readonly full: boolean
  /** What must be undone, whatever happens; run in reverse. Answers a function that undoes it at once. */
  cleanup(undo: () => unknown): () => Promise<void>
}

export const KB = 1024
export const MB = 1024 * 1024

const missed = ({ value, wanted }: Figure): boolean => wanted !== undefined && !(value <= wanted)

/** One line a figure, the mark in brackets. */
export const tableOf = (figures: readonly Figure[]): string => {
  const rows = figures.map(figure => [
    figure.part,
    figure.what,
    `${round(figure.value)} ${figure.unit}`,
    figure.wanted === undefined ? '' : `[<= ${figure.wanted} ${figure.unit}]${missed(figure) ? ' MISSED' : ''}`,
    figure.from ?? '',
  ])
  const widths = [0, 1, 2, 3].map(i => Math.max(...rows.map(row => row[i]!.length)))
  return rows
    .map(row =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

export const jsonOf = (figures: readonly Figure[]): string =>
  JSON.stringify({ items: figures.map(figure => ({ ...figure, value: round(figure.value, 3), missed: missed(figure) })) }, undefined, 2)

export const pause = (ms: number): Promise<void> => systemClock.sleep(ms)

const LOOK_MS = 20

/** Looks until it is so; says what did not come. */
export const eventually = async (what: string, patienceMs: number, look: () => boolean | Promise<boolean>): Promise<void> => {
  const endMs = systemClock.mono() + patienceMs
  while (!(await look())) {
    if (systemClock.mono() > endMs) throw new Error(`waited in vain: ${what}`)
    await pause(LOOK_MS)
  }
}
