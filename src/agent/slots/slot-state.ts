// Which slot runs: the files below DATA_DIR/slots as texts, what they say, and what the launcher does at a start. Pure; `decide` is the
// same decision as launcher.ts makes in sh, and a test holds the two together. Invariants: where any slot holds a program one is chosen; a
// program on trial gets TRIAL_STARTS_MAX starts per role; files that are damaged never keep a device from starting.

import {
  BAD_MAX,
  REASON_CHARS_MAX,
  SECONDS_DIGITS_MAX,
  TRIAL_DEADLINE_SECONDS,
  TRIAL_STARTS_MAX,
  TRIAL_STEADY_SECONDS,
  VERSION_CHARS_MAX,
} from './limits.ts'

export type Slot = 'a' | 'b'
/** The words of the command line whose starts count. */
export type SlotRole = 'server' | 'agent'
export const SLOTS: readonly Slot[] = ['a', 'b']
export const SLOT_ROLES: readonly SlotRole[] = ['server', 'agent']
export const otherSlot = (slot: Slot): Slot => (slot === 'a' ? 'b' : 'a')

/** File `trial`, one line: slot, SHA-256, version, steadySeconds, deadlineSeconds. */
export interface Trial {
  readonly slot: Slot
  /** Lower case hex of the executable. */
  readonly sha256: string
  readonly version: string
  readonly steadySeconds: number
  readonly deadlineSeconds: number
}

/** A line of file `bad`: SHA-256, version, reason. */
export interface BadProgram {
  readonly sha256: string
  readonly version: string
  readonly reason: string
}

/** File `a/about` or `b/about`, one line: SHA-256, size, version, target. */
export interface SlotAbout {
  readonly sha256: string
  readonly sizeBytes: number
  readonly version: string
  /** `linux-arm64` */
  readonly target: string
}

/** Starts of a role so far in this trial; `ok` when it was found healthy and steady. */
export type Starts = number | 'ok'

const SUM = /^[0-9a-f]{64}$/
const VERSION = new RegExp(`^[0-9A-Za-z.+-]{1,${VERSION_CHARS_MAX}}$`)
const SECONDS = new RegExp(`^[0-9]{1,${SECONDS_DIGITS_MAX}}$`)

/** Words of the first line, as `read` of sh gives them. */
const words = (text: string): string[] => (text.split('\n', 1)[0] ?? '').split(/[ \t]+/).filter(word => word !== '')

/** A version as it may stand in a file that sh reads. */
export const versionWord = (version: string): string => (VERSION.test(version) ? version : 'unknown')

const isSlot = (word: string | undefined): word is Slot => word === 'a' || word === 'b'

export const parseCurrent = (text: string | undefined): Slot | undefined => {
  const [slot, ...more] = words(text ?? '')
  return isSlot(slot) && more.length === 0 ? slot : undefined
}

export const parseTrial = (text: string): Trial | undefined => {
  const [slot, sha256 = '', version = '', steady = '', deadline = '', ...more] = words(text)
  if (!isSlot(slot) || !SUM.test(sha256) || !VERSION.test(version) || !SECONDS.test(steady) || !SECONDS.test(deadline)) return undefined
  return more.length > 0 ? undefined : { slot, sha256, version, steadySeconds: Number(steady), deadlineSeconds: Number(deadline) }
}

export const trialText = ({ slot, sha256, version, steadySeconds, deadlineSeconds }: Trial): string =>
  `${slot} ${sha256} ${versionWord(version)} ${steadySeconds} ${deadlineSeconds}\n`

export const parseAbout = (text: string | undefined): SlotAbout | undefined => {
  const [sha256 = '', size = '', version = '', target = '', ...more] = words(text ?? '')
  if (!SUM.test(sha256) || !/^[0-9]{1,12}$/.test(size) || !VERSION.test(version) || target === '' || more.length > 0) return undefined
  return { sha256, sizeBytes: Number(size), version, target }
}

export const aboutText = ({ sha256, sizeBytes, version, target }: SlotAbout): string =>
  `${sha256} ${sizeBytes} ${versionWord(version)} ${target}\n`

/** Lines that are none are left out. */
export const parseBad = (text: string | undefined): readonly BadProgram[] =>
  (text ?? '').split('\n').flatMap(line => {
    const [, sha256 = '', version = '', reason = ''] = /^([0-9a-f]{64}) (\S+) ?(.*)$/.exec(line) ?? []
    return sha256 === '' ? [] : [{ sha256, version, reason: reason.slice(0, REASON_CHARS_MAX) }]
  })

/** The list with one more, its newest line last; the same program is listed once. */
export const badText = (list: readonly BadProgram[], more: BadProgram): string =>
  [...list.filter(bad => bad.sha256 !== more.sha256), more]
    .slice(-BAD_MAX)
    .map(({ sha256, version, reason }) => `${sha256} ${versionWord(version)} ${reason.replace(/\s+/g, ' ').slice(0, REASON_CHARS_MAX)}\n`)
    .join('')

/** Stands for the sum where `trial` cannot be read. */
export const UNKNOWN_SUM = '?'

/**
 * Starts of a role in the trial of this sum. A file of another trial, or none, counts as no start; a damaged one leaves one start more.
 */
export const parseStarts = (text: string | undefined, sha256: string): Starts => {
  if (text === undefined) return 0
  const [sum, count = '', ...more] = words(text)
  if (sum === undefined || more.length > 0 || !/^([0-9]|ok)$/.test(count)) return TRIAL_STARTS_MAX - 1
  if (sum !== sha256) return 0
  return count === 'ok' ? 'ok' : Number(count)
}

export const startsText = (sha256: string, starts: Starts): string => `${sha256} ${starts}\n`

/** The folder as it is found. */
export interface SlotTexts {
  readonly current: string | undefined
  readonly trial: string | undefined
  readonly starts: Readonly<Record<SlotRole, string | undefined>>
  readonly bad: string | undefined
  readonly slots: Readonly<
    Record<
      Slot,
      {
        /** It holds a file that is not empty and may be executed. */
        readonly runnable: boolean
        /** It is also as long as `about` says, and for this machine as far as its first bytes tell. */
        readonly fit: boolean
        readonly about: string | undefined
      }
    >
  >
}

/** What is on trial: the trial of a file that can be read, or `unreadable`; undefined when the current slot is good. */
export const trialOf = ({ current, trial }: Pick<SlotTexts, 'current' | 'trial'>): Trial | 'unreadable' | undefined => {
  if (trial === undefined) return undefined
  const slot = parseCurrent(current)
  const found = parseTrial(trial)
  if (found === undefined) return slot === undefined ? undefined : 'unreadable'
  return found.slot === slot ? found : undefined
}

/** Limits of a trial whose file cannot be read. */
export const TRIAL_TIMES = { steadySeconds: TRIAL_STEADY_SECONDS, deadlineSeconds: TRIAL_DEADLINE_SECONDS }

/** What a start does: the slot to execute, and the files to write before, in this order; `undefined` as text removes. */
export interface Decision {
  /** Undefined: neither slot holds a program. */
  readonly slot: Slot | undefined
  readonly writes: readonly (readonly [file: string, text: string | undefined])[]
  /** The start is one of a trial: the watchdog looks after it. */
  readonly trial: boolean
  /** Something is wrong, and the launcher says so on standard error. */
  readonly wrong: boolean
}

const END_OF_TRIAL: Decision['writes'] = [
  ['trial', undefined],
  ['trial.server', undefined],
  ['trial.agent', undefined],
]

/** Nobody knows whether the slot taken for a lost one is good: it is on a trial of its own. */
const NEW_TRIAL: Decision['writes'] = [
  ['trial.server', undefined],
  ['trial.agent', undefined],
  ['trial', `${UNKNOWN_SUM}\n`],
]

const isBad = ({ bad, slots }: SlotTexts, slot: Slot): boolean => {
  const about = parseAbout(slots[slot].about)
  return about !== undefined && parseBad(bad).some(each => each.sha256 === about.sha256)
}

/** `current` cannot be read: the slot that was good before a trial, else one that is not known as bad. */
const decideLost = (texts: SlotTexts, role: SlotRole | undefined): Decision => {
  const trial = texts.trial === undefined ? undefined : parseTrial(texts.trial)
  const wanted: readonly Slot[] = trial ? [otherSlot(trial.slot), trial.slot] : isBad(texts, 'a') && !isBad(texts, 'b') ? ['b', 'a'] : SLOTS
  const slot = wanted.find(each => texts.slots[each].fit) ?? wanted.find(each => texts.slots[each].runnable)
  if (slot === undefined || role === undefined) return { slot, writes: [], trial: false, wrong: true }
  const current = ['current', `${slot}\n`] as const
  return { slot, writes: trial ? [current, ...END_OF_TRIAL] : [...NEW_TRIAL, current], trial: false, wrong: true }
}

const decideTrial = (texts: SlotTexts, role: SlotRole, slot: Slot, trial: Trial | undefined): Decision => {
  const sum = trial?.sha256 ?? UNKNOWN_SUM
  const starts = parseStarts(texts.starts[role], sum)
  const failed = starts !== 'ok' && starts >= TRIAL_STARTS_MAX
  const unfit = !texts.slots[slot].fit
  const other = otherSlot(slot)
  if (!failed && !unfit)
    return {
      slot,
      writes: starts === 'ok' ? [] : [[`trial.${role}`, startsText(sum, starts + 1)]],
      trial: starts !== 'ok',
      wrong: trial === undefined,
    }
  // Nothing to go back to: a program that failed is tried again rather than one that is not whole.
  if (!texts.slots[other].fit)
    return { slot: [slot, other].find(each => texts.slots[each].runnable), writes: [], trial: false, wrong: true }
  const about = parseAbout(texts.slots[slot].about)
  const bad = { sha256: trial?.sha256 ?? about?.sha256, version: trial?.version ?? about?.version ?? 'unknown' }
  const reason = failed ? failedReason(role) : UNFIT_REASON
  const note: Decision['writes'] =
    bad.sha256 === undefined ? [] : [['bad', badText(parseBad(texts.bad), { sha256: bad.sha256, version: bad.version, reason })]]
  return { slot: other, writes: [...note, ['current', `${other}\n`], ...END_OF_TRIAL], trial: false, wrong: true }
}

export const failedReason = (role: SlotRole): string => `${TRIAL_STARTS_MAX} starts as ${role} did not end its trial`
export const UNFIT_REASON = 'cannot be executed on this machine'

/**
 * What the launcher does with these files when its first word is this role, or `upgrade`; undefined: any other. While a program is on trial
 * the one before does the upgrade commands: who wants to go back must not depend on what may not work.
 */
export const decide = (texts: SlotTexts, word: SlotRole | 'upgrade' | undefined): Decision => {
  const role = word === 'upgrade' ? undefined : word
  const slot = parseCurrent(texts.current)
  if (slot === undefined) return decideLost(texts, role)
  const trial = trialOf(texts)
  if (trial !== undefined && role !== undefined) return decideTrial(texts, role, slot, trial === 'unreadable' ? undefined : trial)
  const other = otherSlot(slot)
  if (trial !== undefined && word === 'upgrade' && texts.slots[other].fit) return { slot: other, writes: [], trial: false, wrong: false }
  const sound = (each: Slot): boolean => (role === undefined ? texts.slots[each].runnable : texts.slots[each].fit)
  // A slot that looks unfit is still better than none.
  const chosen = [slot, other].find(sound) ?? [slot, other].find(each => texts.slots[each].runnable)
  return { slot: chosen, writes: [], trial: false, wrong: chosen !== slot || !sound(slot) }
}
