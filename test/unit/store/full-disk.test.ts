// A disk that is really full: a small tmpfs, filled by somebody else and freed again. Needs root for the mount.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { isReason } from '../../../src/base/errors.ts'
import { silentLog } from '../../../src/base/log.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { openStore, type Store } from '../../../src/store/store.ts'
import { configMap, handClock, until } from '../../contract/store-world.ts'

const DISK = '12m'
/** More than the disk has. */
const BALLAST_BYTES = 16 * 1024 * 1024

/** Takes all the space that is left. */
const fillDisk = (path: string): void => {
  try {
    writeFileSync(path, Buffer.alloc(BALLAST_BYTES, 1))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}

const create = async (store: Store, name: string, bytes: number): Promise<string> => {
  try {
    await store.write({ do: 'create', key: `a/${name}`, object: configMap(name, { x: 'x'.repeat(bytes) }) })
    return 'written'
  } catch (error) {
    if (!isReason(error, 'ServiceUnavailable')) throw error
    return (error as Error).message
  }
}

t.test(
  'a full disk is a problem that the store states, loses nothing by, and gets over by itself',
  { skip: process.getuid?.() !== 0 },
  async t => {
    const disk = mkdtempSync(join(tmpdir(), 'helio-full-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK}`, 'tmpfs', disk])
    t.teardown(() => {
      execFileSync('umount', [disk])
      rmdirSync(disk)
    })
    const clock = handClock()
    const open = (): Promise<Store> =>
      openStore({ dir: join(disk, 'store'), clock, random: seededRandom('full'), log: silentLog, hotBytesMax: 100_000 })
    let store = await open()
    for (let i = 0; i < 100; i++) t.equal(await create(store, `before-${i}`, 10_000), 'written')
    fillDisk(join(disk, 'ballast'))
    const answers: string[] = []
    while (answers.at(-1) === undefined || answers.at(-1) === 'written')
      answers.push(await create(store, `while-${answers.length}`, 100_000))
    t.match(answers.at(-1), /full|ENOSPC/)
    t.match(store.problem, /full|ENOSPC/)
    const kept = 100 + answers.length - 1
    t.equal(store.count('a/'), kept)
    for (const { object, value } of store.list({ prefix: 'a/' }).entries) t.ok(object.kind === 'ConfigMap' && value.length > 10_000)
    rmSync(join(disk, 'ballast'))
    clock.advance(60_000)
    await until(() => store.problem === undefined)
    t.equal(await create(store, 'after', 100_000), 'written')
    await store.close()
    store = await open()
    t.equal(store.recovery.kind, 'clean')
    t.equal(store.count('a/'), kept + 1)
    await store.close()
  },
)
