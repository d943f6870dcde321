// A plan against a tree: what differs, and making it so. Every file is old or new at any moment; whatever starts a role comes last. Run
// again after a cut it finishes; run again after that it changes nothing.

import { lineDiff } from '../../base/line-diff.ts'
import { DIFF_LINES_MAX } from './limits.ts'
import type { InstalledFile } from './manifest.ts'
import type { InstallPlan, PlannedFile } from './plan.ts'
import { digestOf, type Tree } from './tree.ts'

export interface Difference {
  readonly do: 'folder' | 'file' | 'link'
  readonly what: string
  readonly state: 'new' | 'changed' | 'unchanged'
  readonly note: string
  readonly diff?: readonly string[]
}

const octal = (mode: number): string => `0${mode.toString(8)}`

const USED_SEED = /^token: used\s*$/m

/** A seed whose token was used stays as it is: the device has joined. */
const isSpent = (tree: Tree, file: PlannedFile): boolean => file.secret === true && USED_SEED.test(tree.read(file.path) ?? '')

const compareFile = (tree: Tree, file: PlannedFile): Difference => {
  const base = { do: 'file', what: file.path, note: octal(file.mode) } as const
  const before = tree.read(file.path)
  if (before === undefined) return { ...base, state: 'new' }
  if (isSpent(tree, file)) return { ...base, state: 'unchanged', note: 'this device has joined: the token is not needed' }
  const mode = tree.mode(file.path)
  if (before === file.text && mode === file.mode) return { ...base, state: 'unchanged' }
  if (before === file.text) return { ...base, state: 'changed', note: `${octal(mode ?? 0)} becomes ${octal(file.mode)}` }
  return { ...base, state: 'changed', ...(file.secret ? {} : { diff: lineDiff(before, file.text, DIFF_LINES_MAX) }) }
}

/** Every part of the plan with what would be done about it; nothing is touched. */
export const compare = (tree: Tree, plan: InstallPlan): readonly Difference[] => [
  ...plan.folders.map(
    ([path, mode]): Difference => ({ do: 'folder', what: path, state: tree.exists(path) ? 'unchanged' : 'new', note: octal(mode) }),
  ),
  ...plan.files.map(file => compareFile(tree, file)),
  ...plan.links.map(({ path, target }): Difference => {
    const before = tree.linkTarget(path)
    const state = before === target ? 'unchanged' : before === undefined ? 'new' : 'changed'
    return { do: 'link', what: path, state, note: `to ${target}` }
  }),
]

/** Folders that are not there, outermost first. */
export const missingFolders = (tree: Tree, plan: InstallPlan): readonly string[] => [
  ...new Set(plan.folders.flatMap(([path]) => tree.missing(path))),
]

export const makeFolders = (tree: Tree, plan: InstallPlan): void => {
  for (const [path, mode] of plan.folders) tree.makeFolder(path, mode)
}

/** Digests of the planned files, for the manifest. */
export const digestsOf = (plan: InstallPlan): readonly InstalledFile[] =>
  plan.files.map(({ path, text, secret }) => ({ path, sha256: secret ? [] : [digestOf(text)] }))

/** Writes what differs of the files and links, in the plan's order. Its folders are there. */
export const carryOut = (tree: Tree, plan: InstallPlan): void => {
  for (const file of plan.files) {
    tree.clearLeftovers(file.path)
    if (compareFile(tree, file).state !== 'unchanged') tree.write(file.path, file.text, file.mode)
  }
  for (const { path, target } of plan.links) {
    tree.clearLeftovers(path)
    if (tree.linkTarget(path) !== target) tree.link(path, target)
  }
}
