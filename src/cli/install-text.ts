// The steps of installing and uninstalling, for people: a line each, with the difference of a file below it.

import { ApiError, messageOf } from '../base/errors.ts'
import { Failure } from './failure.ts'
import type { InstallStep } from './install-shapes.ts'
import type { Output } from './output.ts'

const WORDS: Readonly<Record<InstallStep['state'], readonly [done: string, would: string]>> = {
  new: ['made', 'would make'],
  changed: ['changed', 'would change'],
  unchanged: ['unchanged', 'unchanged'],
  done: ['ran', 'would run'],
  removed: ['removed', 'would remove'],
  kept: ['kept', 'would keep'],
}

const diffLine = (line: string, output: Pick<Output, 'paint'>): string =>
  `    ${line.startsWith('+') ? output.paint('green', line) : line.startsWith('-') ? output.paint('red', line) : line}`

/** Unchanged steps are left out unless `all`. */
export const stepLines = (steps: readonly InstallStep[], dryRun: boolean, output: Pick<Output, 'paint'>, all = false): readonly string[] =>
  steps
    .filter(step => all || step.state !== 'unchanged')
    .flatMap(step => [
      `${WORDS[step.state][dryRun ? 1 : 0].padEnd(dryRun ? 12 : 9)} ${step.what}${step.note === undefined ? '' : output.paint('dim', `  (${step.note})`)}`,
      ...(step.diff ?? []).map(line => diffLine(line, output)),
    ])

/** An error of the program around the verbs as a command's failure: bad input is usage. */
export const asFailure = (cause: unknown): never => {
  const hint = cause instanceof ApiError ? cause.hint : undefined
  throw new Failure(messageOf(cause), { cause, hint, exitCode: cause instanceof ApiError && cause.reason === 'BadRequest' ? 2 : 1 })
}
