// The file of cold values against a map, and against what disks do.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { ColdValue } from '../../../src/store/cold.ts'
import { SPILL_SEGMENT_BYTES } from '../../../src/store/limits.ts'
import { createSpill, type Spill } from '../../../src/store/spill.ts'
import { fc } from '../../property.ts'

const temporary = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-spill-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const bytesOf = (seed: number, size: number): Buffer => Buffer.alloc(size, `${seed}/`)

/** This process's own descriptor of the file, which has no name any more. */
const descriptorPath = (dir: string): string => {
  const found = readdirSync('/proc/self/fd').find(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${dir}/`)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      return false
    }
  })
  return `/proc/self/fd/${found}`
}

t.test('gives back what was put, whatever is dropped between, and stays in proportion to what it holds', async each => {
  const dir = temporary()
  const step = fc.record({ put: fc.integer({ min: 0, max: 9 }), size: fc.integer({ min: 1, max: 1_500_000 }), drop: fc.nat() })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), steps => {
      const spill = createSpill(join(dir, 'cold'))
      const model: { place: ColdValue; seed: number; size: number }[] = []
      const isWhole = (): boolean => model.every(({ place, seed, size }) => spill.get(place).equals(bytesOf(seed, size)))
      let fine = true
      for (const [seed, { put, size, drop }] of steps.entries()) {
        if (put > 3 || model.length === 0) model.push({ place: spill.put(bytesOf(seed, size)), seed, size })
        else spill.drop(model.splice(drop % model.length, 1)[0]!.place)
        fine &&= spill.live === model.reduce((sum, { size }) => sum + size, 0)
      }
      fine &&= isWhole()
      for (const { place } of model.splice(0)) spill.drop(place)
      fine &&= spill.live === 0 && spill.extent <= SPILL_SEGMENT_BYTES * steps.length
      spill.clear()
      return fine
    }),
    { numRuns: 25 },
  )
  each.same(readdirSync(dir), [], 'the file has no name')
})

/** Puts `count` values of about a MiB, dropping all but every eighth of those before. */
const churn = (spill: Spill, count: number): Map<number, ColdValue> => {
  const kept = new Map<number, ColdValue>()
  for (let i = 0; i < count; i++) {
    kept.set(i, spill.put(bytesOf(i, 1_000_000)))
    const old = kept.get(i - 1)
    if (old && i % 8 !== 0) {
      spill.drop(old)
      kept.delete(i - 1)
    }
  }
  return kept
}

t.test('dead space is used again: the file stays below one and a half times its values and a few parts', async each => {
  const spill = createSpill(join(temporary(), 'cold'))
  const kept = churn(spill, 400)
  each.ok(spill.extent <= spill.live * 1.5 + 4 * SPILL_SEGMENT_BYTES, `${spill.extent} for ${spill.live}`)
  each.ok([...kept].every(([i, place]) => spill.get(place).equals(bytesOf(i, 1_000_000))))
  for (const place of kept.values()) spill.drop(place)
  each.ok(spill.extent <= SPILL_SEGMENT_BYTES * 30)
  each.equal(spill.live, 0)
  spill.clear()
  each.equal(spill.extent, 0)
})

t.test('a damaged value is told from a sound one, and takes no other with it', async each => {
  const dir = temporary()
  const spill = createSpill(join(dir, 'cold'))
  const first = spill.put(bytesOf(1, 1000))
  const second = spill.put(bytesOf(2, 1000))
  const fd = openSync(descriptorPath(dir), 'r+')
  writeSync(fd, Buffer.from('!'), 0, 1, 500)
  each.throws(() => spill.get(first), /damaged/)
  each.ok(spill.get(second).equals(bytesOf(2, 1000)))
  // Compaction meets the damaged value and goes on.
  churn(spill, 200)
  each.throws(() => spill.get(first), /damaged|lost/)
  each.ok(spill.get(second).equals(bytesOf(2, 1000)))
  spill.drop(first)
  spill.drop(second)
  spill.clear()
})

t.test('what an earlier process left is never read, and where the file cannot be made nothing is kept until it can', async each => {
  const dir = temporary()
  const path = join(dir, 'cold')
  writeFileSync(path, 'left behind by a kill')
  const spill = createSpill(path)
  each.equal(spill.get(spill.put(bytesOf(1, 10))).toString(), bytesOf(1, 10).toString())
  each.notOk(existsSync(path))
  spill.clear()
  mkdirSync(path)
  each.throws(() => spill.put(bytesOf(2, 10)), /EISDIR/)
  each.equal(spill.live, 0)
  rmdirSync(path)
  each.equal(spill.get(spill.put(bytesOf(3, 10))).toString(), bytesOf(3, 10).toString())
  spill.clear()
})
