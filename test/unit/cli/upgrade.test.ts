// helio upgrade on the command line: what it refuses before it looks at anything, and what it shows.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { installSlot, noteBad, switchSlot } from '../../../src/agent/slots/slots.ts'
import { systemFiles } from '../../../src/host/files.ts'
import { newDataDir } from '../agent/slots/folder.ts'
import { runHelio } from './world.ts'

const deps = { files: systemFiles }

const begin = async (t: { teardown(fn: () => void): void }) => {
  const dataDir = newDataDir()
  t.teardown(() => rmSync(dirname(dataDir), { recursive: true }))
  const file = join(dirname(dataDir), 'program')
  writeFileSync(file, '#!/bin/sh\nexit 1\n')
  const { sha256 } = await installSlot(deps, dataDir, { file, version: '1.0.0', target: 'linux-x64' })
  switchSlot(deps, dataDir, 'a')
  return { dataDir, file, sha256, helio: (...words: string[]) => runHelio(['upgrade', ...words], dataDir) }
}

t.test('wrong words are usage', async t => {
  const { helio } = await begin(t)
  for (const [words, message] of [
    [[], /--file FILE/],
    [['stauts'], /did you mean status/],
    [['status', 'x'], /unexpected argument/],
    [['--file', 'x', '--steady', '0'], /between 1s and 24h/],
    [['--file', 'x', '--steady', '5m', '--deadline', '1m'], /--deadline must be longer/],
  ] as const) {
    const { code, stderr } = await helio(...words)
    t.equal(code, 2)
    t.match(stderr, message)
  }
})

t.test('status shows the slots, a trial and what failed here, as a table and as JSON', async t => {
  const { helio, dataDir, sha256, file } = await begin(t)
  t.match((await helio('status')).stdout, /a +current +1\.0\.0 +linux-x64 +17B +[0-9a-f]{12}\nb +empty +<none>/)
  writeFileSync(file, '#!/bin/sh\nexit 2\n')
  await installSlot(deps, dataDir, { file, version: '1.1.0', target: 'linux-x64' })
  noteBad(deps, dataDir, { sha256: '0'.repeat(64), version: '0.9.0', reason: 'it fails' })
  switchSlot(deps, dataDir, 'b', { steadySeconds: 60, deadlineSeconds: 300 })
  const { stdout } = await helio('status')
  t.match(
    stdout,
    /a +previous[\s\S]*b +on trial +1\.1\.0[\s\S]*Trial: version 1\.1\.0 in slot b, not started yet\nBad: version 0\.9\.0 \(0{12}\): it fails/,
  )
  t.match(JSON.parse((await helio('status', '-o', 'json')).stdout), {
    slots: [
      { slot: 'a', state: 'previous', sha256 },
      { slot: 'b', state: 'on trial' },
    ],
    trial: { version: '1.1.0', starts: { server: 0, agent: 0 }, startsMax: 3, steadySeconds: 60, deadlineSeconds: 300 },
    bad: [{ version: '0.9.0' }],
  })
})

t.test('a program that cannot say its version is not taken, and nothing is left of it', async t => {
  const { helio, file } = await begin(t)
  writeFileSync(file, '#!/bin/sh\necho broken >&2\nexit 7\n')
  const { code, stderr } = await helio('--file', file, '--allow-unsigned')
  t.equal(code, 1)
  t.match(stderr, /WARNING: .* is not signed[\s\S]*error: upgrade: the new program does not run: code 7: broken\nhint: nothing was changed/)
  for (const answer of ['no JSON', '{}', '{"program":{"version":"2.0.0","target":"linux-x64","sqlite":"cannot be loaded: x"}}']) {
    writeFileSync(file, `#!/bin/sh\necho '${answer}'\n`)
    t.match((await helio('--file', file, '--allow-unsigned')).stderr, /does not say its version|has no database: SQLite cannot be loaded/)
  }
  t.match((await helio('status')).stdout, /a +current[\s\S]*b +empty/)
})

t.test('the way back does not lead to a version that failed', async t => {
  const { helio, dataDir, file } = await begin(t)
  writeFileSync(file, '#!/bin/sh\nexit 2\n')
  const { sha256 } = await installSlot(deps, dataDir, { file, version: '1.1.0', target: 'linux-x64' })
  noteBad(deps, dataDir, { sha256, version: '1.1.0', reason: 'it fails' })
  const { code, stderr } = await helio('rollback')
  t.match([code, stderr], [1, /version 1\.1\.0 in slot b failed on this device before: it fails/])
  t.match((await helio('status')).stdout, /a +current[\s\S]*b +bad/)
})

t.test('where there are no slots, or nothing to go back to, it says so', async t => {
  const { helio, dataDir, file } = await begin(t)
  const back = await helio('rollback')
  t.match([back.code, back.stderr], [1, /slot b holds no program to go back to/])
  const same = await helio('--file', file, '--allow-unsigned')
  t.match([same.code, same.stdout], [0, /is the one in use; nothing was changed/])
  rmSync(join(dataDir, 'slots'), { recursive: true })
  mkdirSync(join(dataDir, 'slots'))
  const none = await helio('--file', file)
  t.match([none.code, none.stderr], [1, /there are no slots in .*\nhint: helio install/])
})
