// Any sequence of upgrades, cuts, starts, kills and a torn file: a slot that holds a whole program is always started, a bad one never while
// another is there, and a version that fails is left for the one before within its starts.

import t from 'tap'
import { TRIAL_STARTS_MAX } from '../../../../src/agent/slots/limits.ts'
import {
  aboutText,
  badText,
  decide,
  otherSlot,
  parseAbout,
  parseBad,
  parseCurrent,
  parseStarts,
  parseTrial,
  SLOTS,
  type Slot,
  type SlotRole,
  type SlotTexts,
  startsText,
  trialOf,
  trialText,
} from '../../../../src/agent/slots/slot-state.ts'
import { fc } from '../../../property.ts'

type Program = { readonly sum: string; readonly good: boolean; readonly whole: boolean }
interface Disk {
  readonly files: Map<string, string>
  readonly programs: Map<Slot, Program>
  /** Programs that ended a trial well, by sum. */
  readonly proven: Set<string>
}

const sumOf = (n: number): string => n.toString(16).padStart(64, '0')

const textsOf = ({ files, programs }: Disk): SlotTexts => {
  const slot = (name: Slot) => {
    const program = programs.get(name)
    const about = program && aboutText({ sha256: program.sum, sizeBytes: 1, version: '1.0.0', target: 'linux-x64' })
    return { runnable: program !== undefined, fit: program?.whole === true, about }
  }
  return {
    current: files.get('current'),
    trial: files.get('trial'),
    starts: { server: files.get('trial.server'), agent: files.get('trial.agent') },
    bad: files.get('bad'),
    slots: { a: slot('a'), b: slot('b') },
  }
}

type Step = (disk: Disk) => void
const write =
  (name: string, text: string | undefined): Step =>
  ({ files }) =>
    void (text === undefined ? files.delete(name) : files.set(name, text))

/** What an upgrade does, as steps that are whole or not at all, in the order of slots.ts. */
const upgradeSteps = (disk: Disk, program: Program): Step[] => {
  const texts = textsOf(disk)
  const runs = decide(texts, undefined).slot
  // Refused: on trial, or a program that failed before.
  if (trialOf(texts) !== undefined || parseBad(texts.bad).some(bad => bad.sha256 === program.sum)) return []
  const slot = runs === undefined ? 'a' : otherSlot(runs)
  const trial = { slot, sha256: program.sum, version: '1.0.0', steadySeconds: 60, deadlineSeconds: 300 }
  return [
    ({ programs }) => void programs.delete(slot),
    ({ programs }) => void programs.set(slot, program),
    write('trial', undefined),
    write('trial.server', startsText(program.sum, 0)),
    write('trial.agent', startsText(program.sum, 0)),
    write('trial', trialText(trial)),
    write('current', `${slot}\n`),
  ]
}

/** One start: the launcher's writes up to a cut, then the program's life. Answers the slot that ran. */
const start = (disk: Disk, role: SlotRole, cutAt: number, lives: boolean): Slot | undefined => {
  const decision = decide(textsOf(disk), role)
  for (const [name, text] of decision.writes.slice(0, cutAt)) write(name, text)(disk)
  if (cutAt < decision.writes.length) return undefined
  const program = decision.slot && disk.programs.get(decision.slot)
  if (program?.good && program.whole && lives && parseCurrent(disk.files.get('current')) === decision.slot) {
    disk.proven.add(program.sum)
    for (const name of ['trial', 'trial.server', 'trial.agent']) disk.files.delete(name)
  }
  return decision.slot
}

const GARBAGE = ['', '\0\0\0', 'x'.repeat(5000), 'c\n', 'a b\n', '\n\n', '99999999999999999999']
const role = fc.constantFrom<SlotRole>('server', 'agent')
const action = fc.oneof(
  fc.record({ do: fc.constant('upgrade' as const), sum: fc.nat(6), good: fc.boolean(), cutAt: fc.nat(8) }),
  fc.record({ do: fc.constant('start' as const), role, cutAt: fc.nat(8), lives: fc.boolean() }),
  fc.record({ do: fc.constant('damage' as const), slot: fc.constantFrom(...SLOTS) }),
)

const isWhole = (disk: Disk, slot: Slot): boolean => disk.programs.get(slot)?.whole === true

const check = (disk: Disk, role: SlotRole | undefined): void => {
  const { slot } = decide(textsOf(disk), role)
  const whole = SLOTS.filter(each => isWhole(disk, each))
  if (disk.programs.size > 0 && slot === undefined) throw new Error('a slot holds a program and none is started')
  if (role !== undefined && whole.length > 0 && slot !== undefined && !whole.includes(slot))
    throw new Error('a damaged program is started, a whole one is there')
  const bad = parseBad(disk.files.get('bad')).map(each => each.sha256)
  const isBad = (each: Slot): boolean => bad.includes(disk.programs.get(each)?.sum ?? '')
  if (role !== undefined && slot !== undefined && isBad(slot) && isWhole(disk, otherSlot(slot)) && !isBad(otherSlot(slot)))
    throw new Error('a bad program is started, another one is there')
}

const run = (
  actions: readonly (
    | { do: 'upgrade'; sum: number; good: boolean; cutAt: number }
    | { do: 'start'; role: SlotRole; cutAt: number; lives: boolean }
    | { do: 'damage'; slot: Slot }
  )[],
  torn: { name: string; text: string } | undefined,
  last: SlotRole,
): void => {
  const first = { sum: sumOf(100), good: true, whole: true }
  const disk: Disk = { files: new Map([['current', 'a\n']]), programs: new Map([['a', first]]), proven: new Set([first.sum]) }
  // What is good is so for good: sums 0 to 6 draw it once.
  const goodness = new Map<number, boolean>()
  for (const action of actions) {
    if (action.do === 'upgrade') {
      const good = goodness.get(action.sum) ?? action.good
      goodness.set(action.sum, good)
      for (const step of upgradeSteps(disk, { sum: sumOf(action.sum), good, whole: true }).slice(0, action.cutAt)) step(disk)
    } else if (action.do === 'start') start(disk, action.role, action.cutAt, action.lives)
    else {
      const program = disk.programs.get(action.slot)
      // Flash goes bad in one place at a time: the last whole program is left.
      if (program && isWhole(disk, otherSlot(action.slot))) disk.programs.set(action.slot, { ...program, whole: false })
    }
    for (const each of ['server', 'agent', undefined] as const) check(disk, each)
  }
  if (torn) disk.files.set(torn.name, torn.text)
  for (const each of ['server', 'agent', undefined] as const) check(disk, each)
  const isProven = (slot: Slot): boolean => isWhole(disk, slot) && disk.proven.has(disk.programs.get(slot)!.sum)
  if (!SLOTS.some(isProven)) return
  // Nothing more is torn or cut: one who only fails is left within its starts, and one more for a file that was torn.
  for (let n = 0; n <= TRIAL_STARTS_MAX + 1; n++) {
    const slot = start(disk, last, Number.POSITIVE_INFINITY, true)
    if (slot !== undefined && disk.programs.get(slot)?.good && isWhole(disk, slot)) return
  }
  throw new Error(`after ${TRIAL_STARTS_MAX + 2} starts no program that works runs`)
}

const torn = fc.option(
  fc.record({ name: fc.constantFrom('current', 'trial', 'trial.server', 'trial.agent', 'bad'), text: fc.constantFrom(...GARBAGE) }),
  { nil: undefined },
)

t.test('whatever happens to upgrades and starts, a program that works is found within the starts of a trial', async t => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 30 }), torn, role, (actions, torn, last) => run(actions, torn, last)),
    { numRuns: 3000 },
  )
  t.pass('3000 histories')
})

t.test('files say what was written to them, and nothing else', async t => {
  const trial = { slot: 'b', sha256: sumOf(1), version: '1.2.3-rc.1+x', steadySeconds: 60, deadlineSeconds: 300 } as const
  t.same(parseTrial(trialText(trial)), trial)
  for (const text of [
    '',
    'b',
    `c ${sumOf(1)} 1 1 1`,
    `b ${sumOf(1)} 1 1`,
    `b ${sumOf(1)} 1 1 1 1`,
    `b ${sumOf(1)} $x 1 1`,
    `b ${sumOf(1)} 1 1 999999`,
  ])
    t.equal(parseTrial(text), undefined, text)
  t.equal(parseCurrent('a\n'), 'a')
  for (const text of ['', 'A', 'ab', 'a b', '\0a']) t.equal(parseCurrent(text), undefined, JSON.stringify(text))
  const about = { sha256: sumOf(2), sizeBytes: 5, version: '1.0.0', target: 'linux-arm64' }
  t.same(parseAbout(aboutText(about)), about)
  t.equal(parseAbout('x'), undefined)
  t.equal(parseStarts(undefined, sumOf(1)), 0)
  t.equal(parseStarts(startsText(sumOf(1), 2), sumOf(1)), 2)
  t.equal(parseStarts(startsText(sumOf(1), 'ok'), sumOf(1)), 'ok')
  t.equal(parseStarts(startsText(sumOf(1), 3), sumOf(2)), 0, 'of another trial')
  t.equal(parseStarts('\0\0', sumOf(1)), TRIAL_STARTS_MAX - 1, 'a damaged count leaves one start')
})

t.test('the list of bad programs holds each once, the newest last, and forgets the oldest', async t => {
  let text = ''
  for (let n = 0; n < 40; n++) text = badText(parseBad(text), { sha256: sumOf(n), version: '1.0.0', reason: 'two\nlines' })
  t.equal(parseBad(text).length, 32)
  t.equal(parseBad(text)[0]?.sha256, sumOf(8))
  t.equal(parseBad(text)[0]?.reason, 'two lines')
  text = badText(parseBad(text), { sha256: sumOf(20), version: '1.0.0', reason: 'again' })
  t.equal(parseBad(text).length, 32)
  t.match(parseBad(text).at(-1), { sha256: sumOf(20), reason: 'again' })
  t.same(parseBad('garbage\n\0\n'), [])
})
