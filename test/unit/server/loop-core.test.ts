// The loop's core, driven by hand: one controller, actions that end when the test says so.

import t from 'tap'
import type { LogFields } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import type { Action, Controller, Result, View } from '../../../src/controllers/controller.ts'
import type { LoopCore, Outcome } from '../../../src/server/loop-core.ts'
import { createLoopCore } from '../../../src/server/loop-core.ts'
import { handClock } from '../api/rig.ts'

interface Started {
  readonly action: Action
  readonly done: (outcome: Outcome) => void
}

interface Rig {
  readonly core: LoopCore
  readonly started: Started[]
  readonly runs: string[]
  readonly logged: { level: string; message: string; fields: LogFields | undefined }[]
  readonly view: { revision: number }
  advance(ms: number): void
  /** Ends every action in flight alike. */
  endAll(outcome: Outcome): void
  change(name: string): void
}

const event = (after?: number): Action => ({
  do: 'event',
  regarding: { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' },
  type: 'Normal',
  reason: 'Done',
  note: 'done',
  source: 'test',
  ...(after === undefined ? {} : { after }),
})

const remove = (name: string): Action => ({ do: 'delete', kind: 'Pod', key: name, uid: name })
const patchStatus = (name: string): Action => ({ do: 'patchStatus', kind: 'Pod', key: name, uid: name, resourceVersion: '1', status: {} })
const ok = (revision = 0): Outcome => ({ ok: true, revision })
const conflict: Outcome = { ok: false, quiet: true, message: 'someone was faster', revision: 0 }
const refused: Outcome = { ok: false, quiet: false, message: 'no', revision: 0 }

const rig = (reconcile: (key: string) => Result, extra: Partial<Controller> = {}): Rig => {
  const clock = handClock()
  const started: Started[] = []
  const runs: string[] = []
  const logged: Rig['logged'] = []
  const view = { revision: 1, list: () => [], namespacedKinds: [], uptimeMs: 0 }
  const note = (level: string) => (message: string, fields?: LogFields) => void logged.push({ level, message, fields })
  const core = createLoopCore({
    clock,
    random: seededRandom('loop'),
    log: { error: note('error'), info: note('info'), debug: note('debug') },
    view: view as unknown as View,
    controllers: [
      {
        name: 'test',
        watches: [{ kind: 'Pod', keys: object => [object.metadata.name!] }],
        ...extra,
        reconcile(_view, key) {
          runs.push(key)
          return reconcile(key)
        },
      },
    ],
    execute: (action, done) => void started.push({ action, done }),
  })
  return {
    core,
    started,
    runs,
    logged,
    view,
    advance: ms => clock.advance(ms),
    endAll(outcome) {
      for (const { done } of started.splice(0)) done(outcome)
    },
    change(name) {
      const object = { apiVersion: 'v1', kind: 'Pod', metadata: { name } }
      core.changed([{ kind: 'Pod', object, old: undefined }])
    },
  }
}

const once = (actions: readonly Action[]): ((key: string) => Result) => {
  const left = [actions]
  return () => ({ actions: left.shift() ?? [] })
}

t.test('many changes of one key are one run', async t => {
  const { change, advance, runs } = rig(() => ({ actions: [] }))
  for (let i = 0; i < 5; i++) change('a')
  change('b')
  advance(0)
  t.same(runs, ['a', 'b'])
})

t.test('a key is never in work twice, and a change meanwhile brings it back', async t => {
  const { change, advance, runs, endAll } = rig(once([remove('x')]))
  change('a')
  advance(0)
  change('a')
  advance(0)
  t.equal(runs.length, 1)
  endAll(ok())
  advance(0)
  t.equal(runs.length, 2)
})

t.test('waits until the view shows what the last run wrote', async t => {
  const { change, advance, runs, endAll, view } = rig(once([remove('x')]))
  change('a')
  advance(0)
  endAll(ok(7))
  view.revision = 6
  change('a')
  advance(1_000)
  t.equal(runs.length, 1)
  view.revision = 7
  change('b')
  advance(0)
  t.same(runs, ['a', 'b', 'a'])
})

t.test('a conflict runs the key again, silently', async t => {
  const { change, advance, runs, endAll, logged, core } = rig(once([remove('x')]))
  change('a')
  advance(0)
  endAll(conflict)
  advance(1_000)
  t.equal(runs.length, 2)
  t.same(
    logged.filter(line => line.level === 'error'),
    [],
  )
  t.match(core.stats, { conflicts: 1, errors: 0 })
})

t.test('an error backs off the key, longer each time, and is logged once', async t => {
  const { change, advance, runs, endAll, logged, started } = rig(() => ({ actions: [remove('x')] }))
  change('a')
  advance(0)
  const waits: number[] = []
  for (let i = 0; i < 8; i++) {
    endAll(refused)
    let waitedMs = 0
    while (started.length === 0 && waitedMs < 120_000) {
      advance(10)
      waitedMs += 10
    }
    waits.push(waitedMs)
  }
  t.equal(runs.length, 9)
  t.ok(Math.max(...waits.slice(-3)) > Math.max(...waits.slice(0, 3)))
  t.same(
    logged.filter(line => line.level === 'error').map(line => [line.message, line.fields?.['message']]),
    [['reconcile failed', 'delete: no']],
  )
})

t.test('a reconciler that throws stops no other key', async t => {
  const { change, advance, runs, logged } = rig(key => {
    if (key === 'bad') throw new Error('broken')
    return { actions: [] }
  })
  change('bad')
  change('good')
  advance(0)
  t.ok(runs.includes('good'))
  t.match(logged, [{ level: 'error', fields: { key: 'bad', message: 'reconcile bad: broken' } }])
})

t.test('a change whose keys cannot be told disturbs nobody else', async t => {
  const keys = (object: { metadata: { name?: string } }): string[] => {
    if (object.metadata.name === 'bad') throw new Error('malformed')
    return [object.metadata.name!]
  }
  const { change, advance, runs, logged } = rig(() => ({ actions: [] }), { watches: [{ kind: 'Pod', keys }] })
  change('bad')
  change('good')
  advance(0)
  t.same(runs, ['good'])
  t.match(logged, [{ level: 'error', message: 'keys not found', fields: { name: 'bad', message: 'malformed' } }])
})

t.test('asks again after the time the reconciler names', async t => {
  const results: Result[] = [{ actions: [], again: { afterMs: 5_000, why: 'the test says so' } }]
  const { change, advance, runs } = rig(() => results.shift() ?? { actions: [] })
  change('a')
  advance(4_999)
  t.equal(runs.length, 1)
  advance(1)
  t.equal(runs.length, 2)
})

t.test('a burst within the gap costs one more run, after the gap', async t => {
  const { change, advance, runs } = rig(() => ({ actions: [] }), { gapMs: 100 })
  change('a')
  advance(0)
  for (let i = 0; i < 9; i++) {
    change('a')
    advance(10)
  }
  t.equal(runs.length, 1)
  advance(100)
  t.equal(runs.length, 2)
})

t.test('at most 64 actions of a run are in flight, statuses after all others, Events last', async t => {
  const many = Array.from({ length: 100 }, (_, i) => remove(`x${i}`))
  const { change, advance, started } = rig(once([patchStatus('s'), ...many, event()]))
  change('a')
  advance(0)
  t.equal(started.length, 64)
  const order: string[] = []
  while (started.length > 0) {
    t.ok(started.length <= 64)
    const { action, done } = started.shift()!
    order.push(action.do)
    done(ok())
  }
  t.same(order.slice(-2), ['patchStatus', 'event'])
  t.equal(order.length, 102)
})

t.test('an Event about a failed action is not recorded', async t => {
  const { change, advance, started } = rig(once([remove('x'), remove('y'), event(0), event(1)]))
  change('a')
  advance(0)
  const [first, second] = started.splice(0)
  first!.done(conflict)
  second!.done(ok())
  t.equal(started.length, 1)
})

t.test('an owner hears that its child was refused', async t => {
  const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'web-uid', controller: true }
  const object = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web-1', namespace: 'default', ownerReferences: [owner] } }
  const { change, advance, started, endAll } = rig(once([{ do: 'create', object }]))
  change('a')
  advance(0)
  endAll(refused)
  t.match(started[0]?.action, { do: 'event', reason: 'FailedCreate', note: 'Error creating: no', regarding: { name: 'web' } })
})

t.test('actions that end at once are carried out without recursion', async t => {
  const left = [Array.from({ length: 20_000 }, (_, i) => remove(`x${i}`))]
  let count = 0
  const clock = handClock()
  const core = createLoopCore({
    clock,
    random: seededRandom('loop'),
    log: { error: () => {}, info: () => {}, debug: () => {} },
    view: { revision: 1, list: () => [], namespacedKinds: [] } as unknown as View,
    controllers: [{ name: 'test', watches: [], initialKeys: ['a'], reconcile: () => ({ actions: left.shift() ?? [] }) }],
    execute(_action, done) {
      count++
      done(ok())
    },
  })
  core.start()
  clock.advance(0)
  t.equal(count, 20_000)
  t.ok(core.isIdle)
})

t.test('stop: starts nothing more and ends when what is in flight has ended', async t => {
  const many = Array.from({ length: 100 }, (_, i) => remove(`x${i}`))
  const { core, change, advance, started } = rig(() => ({ actions: many }))
  change('a')
  advance(0)
  let isEnded = false
  core.stop(() => {
    isEnded = true
  })
  t.notOk(isEnded)
  const flying = started.splice(0)
  for (const { done } of flying) done(refused)
  t.ok(isEnded)
  t.equal(started.length, 0)
  change('b')
  advance(600_000)
  t.equal(started.length, 0)
})
