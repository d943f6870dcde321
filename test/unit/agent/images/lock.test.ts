import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { takeLock, tryLock } from '../../../../src/agent/images/lock.ts'
import { systemClock } from '../../../../src/host/clock.ts'

const LOCK = new URL('../../../../src/agent/images/lock.ts', import.meta.url).href

t.test('one holder at a time; the next one gets it after the release', async t => {
  const dir = t.testdir()
  const first = tryLock(dir)
  t.ok('release' in first)
  t.same(tryLock(dir), { heldBy: String(process.pid) })
  const second = takeLock(dir, systemClock)
  if ('release' in first) first.release()
  const lock = await second
  t.same(tryLock(dir), { heldBy: String(process.pid) })
  lock.release()
})

t.test('a lock of a process that was killed is taken over at once', async t => {
  const dir = t.testdir()
  const code = `import { tryLock } from ${JSON.stringify(LOCK)}; tryLock(process.argv[1]); process.stdout.write('held'); process.stdin.resume()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code, dir], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  t.same(tryLock(dir), { heldBy: String(child.pid) })
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.ok('release' in tryLock(dir))
})

t.test('a reused pid, an empty file and a strange file do not lock', async t => {
  const dir = t.testdir()
  for (const [i, text] of [`${process.pid} 1 another-boot`, '', 'what', '-1 2 3'].entries()) {
    writeFileSync(join(dir, `lock.${10 + i * 10}`), text)
    const lock = tryLock(dir)
    t.ok('release' in lock, JSON.stringify(text))
    if ('release' in lock) lock.release()
  }
  t.ok(readdirSync(dir).length <= 2, 'old lock files do not pile up')
})

t.test('waiting ends when it is cancelled', async t => {
  const dir = t.testdir()
  tryLock(dir)
  await t.rejects(takeLock(dir, systemClock, AbortSignal.abort(new Error('stop'))), /stop/)
})
