import t from 'tap'
import type { Row } from '../../../src/store/journal.ts'
import { COMPACT_BYTES_MIN, COMPACT_ROWS_MIN } from '../../../src/store/limits.ts'
import { createLogExtent } from '../../../src/store/log-extent.ts'
import { fc } from '../../property.ts'

const row = (revision: number, bytes = 1): Row => ({
  type: 'ADDED',
  key: 'k',
  revision,
  createRevision: revision,
  value: Buffer.alloc(bytes),
})
const rows = (from: number, count: number): Row[] => Array.from({ length: count }, (_, i) => row(from + i))

t.test('asks for nothing until a step’s worth waits', async each => {
  const extent = createLogExtent(0, rows(1, COMPACT_ROWS_MIN))
  each.same(extent.plan(COMPACT_ROWS_MIN - 1, 1), { compactTo: 0, compactRows: 0 })
  each.same(extent.plan(COMPACT_ROWS_MIN, 1), { compactTo: COMPACT_ROWS_MIN, compactRows: COMPACT_ROWS_MIN })
})

t.test('few large rows are a step’s worth as well', async each => {
  const extent = createLogExtent(0, [row(1, COMPACT_BYTES_MIN / 2), row(2, COMPACT_BYTES_MIN / 2), row(3)])
  each.equal(extent.plan(1, 1).compactRows, 0)
  const step = extent.plan(2, 1)
  each.equal(step.compactTo, 2)
  extent.landed(step, [])
  each.equal(extent.rows, 1)
  each.equal(extent.plan(3, 1).compactRows, 0, 'removed bytes no longer count')
})

t.test('catches up with any backlog while writes go on', async each => {
  fc.assert(
    fc.property(fc.nat(200_000), fc.integer({ min: 1, max: 512 }), (older, batch) => {
      const extent = createLogExtent(older, rows(1, 1000))
      let revision = 1000
      let commits = 0
      for (; extent.rows > 1000 + COMPACT_ROWS_MIN + batch && commits < 100_000; commits++) {
        const step = extent.plan(revision - 1000, batch)
        extent.landed(step, rows(revision + 1, batch))
        revision += batch
      }
      each.ok(
        commits <= Math.ceil(older / Math.min(COMPACT_ROWS_MIN - batch || batch, batch * 3)) + 2,
        `${commits} commits for ${older} rows`,
      )
    }),
    { numRuns: 30 },
  )
})
