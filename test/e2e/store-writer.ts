// A program that writes to a store with 64 writers until it is killed, and notes each acknowledged write in a file the kill cannot take.
// Usage: store-writer.ts <data directory> <ack file>. One line an ack: writer, step, key, revision, verb; a dot on stdout for each.

import { openSync, writeSync } from 'node:fs'
import { silentLog } from '../../src/base/log.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemRandom } from '../../src/host/random.ts'
import { openStore, type Store } from '../../src/store/store.ts'

export const WRITERS = 64
/** Each writer goes round its own keys: create, update, update, delete, and again. */
export const KEYS_PER_WRITER = 10

export const keyOf = (writer: number, step: number): string => `configmaps/w${writer}/k${step % KEYS_PER_WRITER}`

const write = (store: Store, writer: number, step: number): { verb: string; done: Promise<{ revision: number }> } => {
  const key = keyOf(writer, step)
  const lazy = writer === 0
  const base = store.getStaged(key)
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: key }, data: { step: String(step), text: 'x'.repeat(1000) } }
  if (!base) return { verb: 'create', done: store.write({ do: 'create', key, object, lazy }) }
  if (base.revision % 4 === 0) return { verb: 'delete', done: store.write({ do: 'delete', key, lazy }) }
  return { verb: 'update', done: store.write({ do: 'update', key, object, expectRevision: base.revision, lazy }) }
}

const main = async (dir: string, ackFile: string): Promise<void> => {
  const acks = openSync(ackFile, 'a')
  const store = await openStore({ dir, clock: systemClock, random: systemRandom, log: silentLog })
  writeSync(acks, `open ${store.revision} ${store.recovery.kind}\n`)
  await Promise.all(
    Array.from({ length: WRITERS }, async (_, writer) => {
      for (let step = 0; ; step++) {
        const { verb, done } = write(store, writer, step)
        const { revision } = await done
        writeSync(acks, `ack ${writer} ${step} ${keyOf(writer, step)} ${revision} ${verb}\n`)
        process.stdout.write('.')
        if (writer === 0) await new Promise(resolve => setImmediate(resolve))
      }
    }),
  )
}

const [dir, ackFile] = process.argv.slice(2)
if (import.meta.filename === process.argv[1] && dir && ackFile) await main(dir, ackFile)
