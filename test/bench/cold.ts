// A store larger than its share of memory: LIST with everything in memory and with everything put away, and what half a gigabyte costs.

import { Buffer } from 'node:buffer'
import { silentLog } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { systemClock } from '../../src/host/clock.ts'
import { openStore, type Store } from '../../src/store/store.ts'
import { temporaryDir, wipe } from '../e2e/cluster.ts'
import { percentile, processFigures, report, round } from './measure.ts'

const open = (dir: string, hotBytesMax?: number): Promise<Store> =>
  openStore({
    dir,
    clock: systemClock,
    random: seededRandom('cold'),
    log: silentLog,
    ...(hotBytesMax === undefined ? {} : { hotBytesMax }),
  })

const fill = async (store: Store, count: number, bytes: number): Promise<void> => {
  for (let i = 0; i < count; i += 100) {
    await Promise.all(
      Array.from({ length: 100 }, (_, k) => {
        const name = `s-${i + k}`
        const data = { value: Buffer.alloc(bytes, name).toString('base64') }
        const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'many' }, data }
        return store.write({ do: 'create', key: `/secrets/many/${name}`, object })
      }),
    )
  }
}

/** What a LIST costs here: every value once, counted. */
const listMs = (store: Store): number => {
  const at = performance.now()
  let bytes = 0
  for (const entry of store.list({ prefix: '/secrets/' }).entries) bytes += entry.value.length
  if (bytes === 0) throw new Error('nothing was listed')
  return performance.now() - at
}

/** LIST of 5,000 Secrets of 1 KB; then start and RSS with `total` bytes in objects of 10 KB. */
export const coldValues = async (total = 500_000_000): Promise<void> => {
  const dir = temporaryDir()
  for (const [what, hotBytesMax] of [
    ['hot', undefined],
    ['cold', 0],
  ] as const) {
    const store = await open(`${dir}/${what}`, hotBytesMax)
    await fill(store, 5000, 1000)
    const samples = Array.from({ length: 21 }, () => listMs(store))
    report('store-list', { values: what, count: 5000, p50Ms: round(percentile(samples, 50)), p99Ms: round(percentile(samples, 99)) })
    await store.close()
  }
  const before = processFigures(process.pid).rssMiB
  let store = await open(`${dir}/large`)
  await fill(store, Math.round(total / 10_000 / 100) * 100, 7400)
  report('store-large', { bytes: total, beforeRssMiB: round(before, 1), writtenRssMiB: round(processFigures(process.pid).rssMiB, 1) })
  const all = listMs(store)
  await store.close()
  const at = performance.now()
  store = await open(`${dir}/large`)
  const seconds = round((performance.now() - at) / 1000)
  report('store-large', { startSeconds: seconds, listAllMs: round(all), startedRssMiB: round(processFigures(process.pid).rssMiB, 1) })
  await store.close()
  wipe(dir)
}
