// Figures: percentiles of samples, and what /proc tells of a process. Linux only.

import { readdirSync, readFileSync } from 'node:fs'

export const percentile = (samples: readonly number[], p: number): number => {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted.length === 0 ? Number.NaN : sorted[Math.min(sorted.length - 1, Math.floor((p / 100) * sorted.length))]!
}

export const round = (value: number, digits = 2): number => Math.round(value * 10 ** digits) / 10 ** digits

/** One JSON line a figure on standard output: {bench, ...figures}. */
export const report = (bench: string, figures: Record<string, number | string | boolean>): void => {
  process.stdout.write(`${JSON.stringify({ bench, ...figures })}\n`)
}

const MIB = 1024 * 1024
const TICKS_PER_SECOND = 100

export interface ProcessFigures {
  readonly rssMiB: number
  readonly pssMiB: number
  readonly cpuSeconds: number
  readonly writtenBytes: number
}

export const processFigures = (pid: number): ProcessFigures => {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? Number.NaN) * 1024
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  const io = readFileSync(`/proc/${pid}/io`, 'utf8')
  return {
    rssMiB: field('Rss') / MIB,
    pssMiB: field('Pss') / MIB,
    cpuSeconds: (Number(stat[11]) + Number(stat[12])) / TICKS_PER_SECOND,
    writtenBytes: Number(/^write_bytes: (\d+)/m.exec(io)?.[1]) - Number(/^cancelled_write_bytes: (\d+)/m.exec(io)?.[1]),
  }
}

/** Resident memory (RSS and PSS, MiB) of all processes whose command line has this text: the conmons of a data folder. */
export const memoryOf = (commandLineHas: string, notPid: number): { count: number; rssMiB: number; pssMiB: number } => {
  const sum = { count: 0, rssMiB: 0, pssMiB: 0 }
  for (const name of readdirSync('/proc').filter(
    entry => /^\d+$/.test(entry) && Number(entry) !== notPid && Number(entry) !== process.pid,
  )) {
    try {
      if (!readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(commandLineHas)) continue
      const figures = processFigures(Number(name))
      sum.count++
      sum.rssMiB += figures.rssMiB
      sum.pssMiB += figures.pssMiB
    } catch (error) {
      if (!(error instanceof Error)) throw error
    }
  }
  return sum
}

/** Runs `count` tasks, `width` at a time, and collects how long each took in ms. */
export const inFlight = async (
  count: number,
  width: number,
  task: (i: number) => Promise<void>,
): Promise<{ samples: number[]; totalMs: number }> => {
  const samples: number[] = []
  const start = performance.now()
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) {
      const i = next++
      const at = performance.now()
      await task(i)
      samples.push(performance.now() - at)
    }
  }
  await Promise.all(Array.from({ length: width }, lane))
  return { samples, totalMs: performance.now() - start }
}
