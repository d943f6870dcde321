// Power cuts over `helio install` and `helio uninstall` in a root folder: SIGKILL right after a change in the folder, drawn from
// all they make. Afterwards every file is the old or the new one, the slot that would start holds a whole program, and the same command run again comes to the same end as
// one that was never cut.

import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { readSlots, slotProgram } from '../../src/agent/slots/slots.ts'
import { seededRandom } from '../../src/base/random.ts'
import { systemFiles } from '../../src/host/files.ts'
import { HELIO, SELF } from '../e2e/cluster.ts'

const DATA = 'var/lib/heliopause'
const TOKEN = `helio1.${'a'.repeat(64)}.secret`

export interface InstallCuts {
  readonly cuts: number
  /** Commands that were still at work when they were cut. */
  readonly hit: number
  /** Cuts that left something between old and new beside the files. */
  readonly leftovers: number
  /** Cuts that found nothing done yet, a part of it, and all of it. */
  readonly none: number
  readonly part: number
  readonly all: number
}

type Listing = ReadonlyMap<string, string>

const isLeftover = (path: string): boolean => /\.\d+\.tmp$/.test(path) || new RegExp(`^${DATA}/slots/[ab]\\.(new|old)(/|$)`).test(path)
/** Who holds the lock is no state; the manifest says more while it is being done. */
const isOwnBusiness = (path: string): boolean => path.startsWith(`${DATA}/slots/lock`) || path === `${DATA}/install.json`

const entryOf = (path: string): string => {
  const stat = lstatSync(path)
  const mode = (stat.mode & 0o7777).toString(8)
  if (stat.isSymbolicLink()) return `link ${readlinkSync(path)}`
  return stat.isDirectory() ? `folder ${mode}` : `file ${mode} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`
}

const listing = (root: string, dir = ''): Listing =>
  new Map(
    readdirSync(join(root, dir)).flatMap(name => {
      const path = dir === '' ? name : `${dir}/${name}`
      const entry = entryOf(join(root, path))
      return [[path, entry] as const, ...(entry.startsWith('folder') ? listing(root, path) : [])]
    }),
  )

const without = (list: Listing): string => JSON.stringify([...list].filter(([path]) => !isOwnBusiness(path)).sort())

interface Act {
  readonly name: string
  /** The tree it begins with. */
  readonly from: string
  readonly args: readonly string[]
  readonly program: string
}

interface Acted {
  readonly cut: boolean
  /** Changes seen in the root until then. */
  readonly changes: number
}

/** Runs it to its end, or to the change of that number. */
const act = ({ args, program }: Act, root: string, cutAt = Number.POSITIVE_INFINITY): Promise<Acted> =>
  new Promise((resolve, reject) => {
    const words = SELF.command === HELIO ? [program] : [SELF.command, ...SELF.args.slice(0, -1), program]
    const child = spawn('env', ['-u', 'NODE_OPTIONS', ...words, ...args, '--root', root], { stdio: ['ignore', 'ignore', 'pipe'] })
    const seen = { changes: 0, stderr: '' }
    const watcher = watch(root, { recursive: true }, () => {
      seen.changes++
      if (seen.changes === cutAt) child.kill('SIGKILL')
    })
    // A folder that is gone before it could be watched.
    watcher.on('error', () => watcher.close())
    child.stderr.on('data', chunk => {
      seen.stderr += chunk
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      watcher.close()
      if (code === 0 || signal === 'SIGKILL') resolve({ cut: signal === 'SIGKILL', changes: seen.changes })
      else reject(new Error(`helio ${args.join(' ')}: exit ${code}: ${seen.stderr}`))
    })
  })

/** A root as an image has it, and a second program that is another version by one line. */
const prepare = (work: string): { readonly old: string; readonly next: string; readonly bare: string } => {
  const bare = join(work, 'bare')
  for (const dir of ['usr/bin', 'usr/lib/systemd', 'etc', 'var/lib']) mkdirSync(join(bare, dir), { recursive: true })
  for (const file of ['usr/bin/node', 'usr/lib/systemd/systemd', 'etc/hostname']) writeFileSync(join(bare, file), '')
  symlinkSync('usr/lib', join(bare, 'lib'))
  const [old, next] = ['old', 'next'].map(name => {
    const dir = join(work, name)
    cpSync(dirname(HELIO), dir, { recursive: true })
    return join(dir, 'helio')
  })
  writeFileSync(next!, `${readFileSync(next!, 'utf8')}\n// The next version.\n`)
  return { old: old!, next: next!, bare }
}

/** Rejects with what is wrong when a tree is neither old nor new in any of its parts. */
const checkParts = (now: Listing, before: Listing, after: Listing, what: string): void => {
  for (const [path, entry] of now)
    if (!isLeftover(path) && !isOwnBusiness(path) && entry !== before.get(path) && entry !== after.get(path))
      throw new Error(`${what}: ${path} is neither old nor new: ${entry}`)
  for (const [path, entry] of before)
    if (after.get(path) === entry && now.get(path) !== entry && !isOwnBusiness(path))
      throw new Error(`${what}: ${path} is gone, and should never have been touched`)
}

/** A board that had a program that starts has one after every cut, whole. */
const checkProgram = (root: string, sums: readonly string[], before: string, what: string): void => {
  const dataDir = join(root, DATA)
  const view = readSlots({ files: systemFiles }, dataDir)
  if (view.starts === undefined) {
    if (readSlots({ files: systemFiles }, join(before, DATA)).starts !== undefined) throw new Error(`${what}: no slot would start`)
    return
  }
  const sum = createHash('sha256')
    .update(readFileSync(slotProgram(dataDir, view.starts)))
    .digest('hex')
  if (!sums.includes(sum)) throw new Error(`${what}: slot ${view.starts} holds a damaged program`)
}

/** Cuts `cuts` times; rejects at the first fault, with its number, so that the seed finds it again. */
export const cutInstalls = async ({
  cuts,
  seed,
  say,
}: {
  readonly cuts: number
  readonly seed: string
  readonly say: (text: string) => void
}): Promise<InstallCuts> => {
  const work = mkdtempSync(join(tmpdir(), 'helio-cuts-'))
  const random = seededRandom(seed)
  const counts = { cuts, hit: 0, leftovers: 0, none: 0, part: 0, all: 0 }
  try {
    const { old, next, bare } = prepare(work)
    const sums = [old, next].map(path => createHash('sha256').update(readFileSync(path)).digest('hex'))
    const done = join(work, 'installed')
    const first: Act = {
      name: 'first install',
      from: bare,
      program: old,
      args: ['install', '--server', 'https://192.0.2.1:6443', '--token', TOKEN],
    }
    const copy = (from: string, to: string): void => {
      rmSync(to, { recursive: true, force: true })
      // cp -a: links as they are, modes as they are.
      spawnSync('cp', ['-a', from, to])
    }
    copy(bare, done)
    await act(first, done)
    const acts: readonly Act[] = [
      first,
      { name: 'change of version and settings', from: done, program: next, args: ['install', '--link', 'mqtt,ws', '--node-name', 'x'] },
      { name: 'uninstall', from: done, program: old, args: ['uninstall', '--purge'] },
    ]
    const whole: { before: Listing; after: Listing; changes: number }[] = []
    for (const each of acts) {
      const root = join(work, 'whole')
      copy(each.from, root)
      const { changes } = await act(each, root)
      whole.push({ before: listing(each.from), after: listing(root), changes })
    }
    for (let n = 0; n < cuts; n++) {
      const which = n % acts.length
      const each = acts[which]!
      const { before, after, changes } = whole[which]!
      const what = `cut ${n} of ${each.name}`
      const root = join(work, 'cut')
      copy(each.from, root)
      if ((await act(each, root, 1 + random.int(Math.max(1, changes)))).cut) counts.hit++
      const now = listing(root)
      checkParts(now, before, after, what)
      if (each.name !== 'uninstall') checkProgram(root, sums, each.from, what)
      if ([...now.keys()].some(isLeftover)) counts.leftovers++
      const state = without(now) === without(before) ? 'none' : without(now) === without(after) ? 'all' : 'part'
      counts[state]++
      await act(each, root)
      if (without(listing(root)) !== without(after))
        throw new Error(`${what}: run again it came to another end: ${difference(listing(root), after)}`)
      if (n % 20 === 19) say(`${n + 1} cuts: ${JSON.stringify(counts)}`)
    }
    return counts
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

const difference = (a: Listing, b: Listing): string =>
  [...new Set([...a.keys(), ...b.keys()])]
    .filter(path => !isOwnBusiness(path) && a.get(path) !== b.get(path))
    .map(path => `${path}: ${a.get(path)} / ${b.get(path)}`)
    .join('; ')
