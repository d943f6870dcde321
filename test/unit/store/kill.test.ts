// Kills a writing program at random moments and checks what it was promised. HELIO_KILLS sets the number of rounds (the full
// test is 200; it needs TAP_TIMEOUT=600).

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { seededRandom } from '../../../src/base/random.ts'
import { temporaryDir } from '../../contract/store-world.ts'
import { keyOf, WRITERS } from '../../e2e/store-writer.ts'
import { openAt } from './scene.ts'

const ROUNDS = Number(process.env['HELIO_KILLS'] ?? 15)
const WRITER = join(import.meta.dirname, '../../e2e/store-writer.ts')

/** Starts the writer and kills it once it has shown `signs` signs of life (0: as soon as it exists). */
const runAndKill = async (dir: string, ackFile: string, signs: number): Promise<void> => {
  const child = spawn(process.execPath, [WRITER, dir, ackFile], { stdio: ['ignore', 'pipe', 'inherit'] })
  let seen = 0
  child.stdout.on('data', (chunk: Buffer) => {
    seen += chunk.length
    if (seen >= signs) child.kill('SIGKILL')
  })
  if (signs === 0) child.once('spawn', () => child.kill('SIGKILL'))
  const [code, signal] = await once(child, 'exit')
  if (signal !== 'SIGKILL') throw new Error(`writer ended by itself: ${code}`)
}

interface Acknowledged {
  /** Each key's newest acknowledged state; undefined after a delete. */
  readonly state: Map<string, number | undefined>
  /** The step each writer had in flight at most. */
  readonly next: Map<number, number>
  newest: number
  count: number
}

/** Reads what the writer noted, checking that revisions only rise. */
const readAcks = (each: Test, ackFile: string, into: Acknowledged): void => {
  const lines = existsSync(ackFile) ? readFileSync(ackFile, 'utf8').split('\n') : []
  let rising = true
  for (const line of lines) {
    const [what, writer, step, key, revision, verb] = line.split(' ')
    if (what === 'open') {
      if (Number(writer) < into.newest) rising = false
      if (step !== 'clean' && step !== 'created') each.fail(`started ${step}`)
    }
    if (what !== 'ack' || verb === undefined) continue
    if (Number(revision) <= into.newest) rising = false
    into.newest = Number(revision)
    into.next.set(Number(writer), Number(step) + 1)
    into.state.set(key!, verb === 'delete' ? undefined : Number(revision))
    into.count++
  }
  each.ok(rising, 'revisions strictly rise, across kills too')
}

t.test(
  `64 writers killed ${ROUNDS} times: every acknowledged write is there, revisions rise, starts are clean`,
  { timeout: 30_000 + ROUNDS * 3_000 },
  async each => {
    const root = temporaryDir()
    const dir = join(root, 'data')
    const random = seededRandom(`kill/${Date.now()}`)
    const known: Acknowledged = { state: new Map(), next: new Map(), newest: 0, count: 0 }
    for (let round = 0; round < ROUNDS; round++) {
      const ackFile = join(root, `acks-${round}`)
      await runAndKill(dir, ackFile, round % 8 === 7 ? 0 : 1 + random.int(2000))
      known.next.clear()
      readAcks(each, ackFile, known)
      const store = await openAt(dir)
      if (!['clean', 'created'].includes(store.recovery.kind)) each.fail(store.recovery.message)
      if (store.revision < known.newest) each.fail(`revision ${store.revision} after ${known.newest} was given`)
      const inFlight = new Set(Array.from({ length: WRITERS }, (_, writer) => keyOf(writer, known.next.get(writer) ?? 0)))
      for (const [key, revision] of known.state) {
        const found = store.get(key)?.revision
        const lazy = key.startsWith('configmaps/w0/')
        if (!lazy && found !== revision && !inFlight.has(key)) each.fail(`round ${round}: ${key} is at ${found} instead of ${revision}`)
      }
      known.state.clear()
      for (const entry of store.list({ prefix: '' }).entries) known.state.set(entry.key, entry.revision)
      known.newest = Math.max(known.newest, store.revision)
      await store.close()
      rmSync(ackFile, { force: true })
    }
    each.comment(`${known.count} acknowledged writes checked`)
    each.ok(known.count > 100 * Math.min(1, ROUNDS))
    rmSync(root, { recursive: true, force: true })
  },
)
