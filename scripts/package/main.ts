// npm run package [-- --target linux-x64,… --key FILE --out DIR]: one self-contained executable a board under build/, with checksums, a
// bill of materials and, given a key, signatures. The same commit gives the same bytes. Needs Debian's compilers for the targets asked for.

import { mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { buildAddon } from './addon.ts'
import { buildExecutable } from './executable.ts'
import { run } from './shell.ts'
import { TARGETS } from './targets.ts'

const ROOT = join(import.meta.dirname, '../..')
const { values } = parseArgs({
  options: { target: { type: 'string' }, key: { type: 'string' }, out: { type: 'string', default: 'build' } },
})
const names = values.target?.split(',') ?? TARGETS.map(target => target.name)
const targets = TARGETS.filter(target => names.includes(target.name))
const out = resolve(ROOT, values.out)
const cache = join(ROOT, 'build/cache')

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const bundle = (): string => {
  const commit = run(['git', 'rev-parse', 'HEAD'], { cwd: ROOT }).trim()
  const at = run(['git', 'log', '-1', '--format=%ct'], { cwd: ROOT }).trim()
  const folder = join(cache, 'bundle')
  run(['tsup', '--metafile', '--silent'], {
    cwd: ROOT,
    env: { ...process.env, HELIO_OUT_DIR: folder, HELIO_COMMIT: commit, SOURCE_DATE_EPOCH: process.env['SOURCE_DATE_EPOCH'] ?? at },
  })
  return readFileSync(join(folder, 'helio'), 'utf8')
}

mkdirSync(cache, { recursive: true })
mkdirSync(out, { recursive: true })
const program = bundle()
for (const target of targets) {
  const file = join(out, `helio-${target.name}`)
  say(`${target.name}: addon`)
  const addon = buildAddon(target, cache)
  say(`${target.name}: executable`)
  await buildExecutable(target, program, addon, cache, file)
  say(file)
}
