// Something for people to see when a command takes longer than a second: one line rewritten on a terminal, few plain lines elsewhere.

import type { Clock } from '../base/clock.ts'
import { PROGRESS_AFTER_MS, PROGRESS_PLAIN_MS } from './limits.ts'
import type { Output } from './output.ts'

export interface Progress {
  /** Says where things are; shown once the command has taken a second. */
  show(text: string): void
  /** Removes the line. */
  done(): void
}

export const openProgress = (output: Output, clock: Pick<Clock, 'mono' | 'after'>): Progress => {
  const since = clock.mono()
  let text = ''
  let shown = ''
  let shownAt = Number.NEGATIVE_INFINITY
  let ended = false
  const draw = (): void => {
    if (ended || text === '' || text === shown) return
    if (!output.live && clock.mono() - shownAt < PROGRESS_PLAIN_MS) return
    if (output.live) output.overwrite(text)
    else output.note(text)
    shown = text
    shownAt = clock.mono()
  }
  const cancel = clock.after(PROGRESS_AFTER_MS, draw)
  return {
    show(next) {
      text = next
      if (clock.mono() - since >= PROGRESS_AFTER_MS) draw()
    },
    done() {
      if (ended) return
      ended = true
      cancel()
      if (output.live && shown !== '') output.overwrite('')
    },
  }
}

/** Runs work under a progress line of one text. */
export const withProgress = async <T>(
  output: Output,
  clock: Pick<Clock, 'mono' | 'after'>,
  text: string,
  work: () => Promise<T>,
): Promise<T> => {
  const progress = openProgress(output, clock)
  progress.show(text)
  try {
    return await work()
  } finally {
    progress.done()
  }
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

/** Decimal bytes with three digits, as image tools print them: `4.3MB`. */
export const bytesText = (sizeBytes: number): string => {
  let amount = sizeBytes
  let unit = 0
  while (amount >= 1000 && unit < UNITS.length - 1) {
    amount /= 1000
    unit++
  }
  return `${unit === 0 || amount >= 100 ? Math.round(amount) : amount.toPrecision(3).replace(/\.?0+$/, '')}${UNITS[unit]}`
}
