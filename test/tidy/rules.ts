// The checks that hold the house rules: who may import whom, what a pure room may touch, what no file may contain.
// Each takes the sources as text and returns violations, so a fixture can prove that it fails.

export interface Source {
  /** Relative to src/, `store/core.ts`. */
  readonly path: string
  readonly text: string
}

export interface Violation {
  readonly path: string
  readonly line: number
  readonly rule: string
  readonly detail: string
}

/** DESIGN section 3: room → rooms it may import. */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  kinds: ['base'],
  controllers: ['base', 'kinds'],
  scheduler: ['base', 'kinds', 'controllers'],
  store: ['base'],
  api: ['base', 'kinds', 'store'],
  link: ['base', 'kinds'],
  fleet: ['base', 'kinds'],
  agent: ['base', 'kinds', 'link', 'fleet', 'runtime', 'network'],
  runtime: ['base', 'kinds'],
  network: ['base', 'kinds'],
  server: ['base', 'kinds', 'store', 'api', 'controllers', 'scheduler', 'link', 'fleet'],
  host: ['base'],
  cli: ['base', 'kinds'],
  dashboard: ['kinds'],
}

/** Files of a room that other rooms may import; base/ and kinds/ are open, main.ts picks whatever it wires. */
export const DOORS: Readonly<Record<string, readonly string[]>> = {
  controllers: ['controllers/controller.ts', 'controllers/index.ts'],
  scheduler: ['scheduler/scheduler.ts'],
  store: ['store/store.ts'],
  api: ['api/api.ts'],
  link: ['link/link.ts', 'link/messages.ts', 'link/transports/index.ts'],
  agent: ['agent/agent.ts'],
  runtime: ['runtime/runtime.ts', 'runtime/index.ts'],
  network: ['network/network.ts', 'network/index.ts'],
  server: ['server/server.ts'],
}

const PURE = [
  /^base\//,
  /^kinds\//,
  /^controllers\//,
  /^scheduler\//,
  /^link\/(messages|session)/,
  /^agent\/(plan|machine)\.ts$/,
  /^agent\/slots\/slot-state\.ts$/,
  /^store\/core\.ts$/,
]
export const isPure = (path: string): boolean => PURE.some(pattern => pattern.test(path))

const roomOf = (path: string): string => (path.includes('/') ? path.slice(0, path.indexOf('/')) : 'main')

const lineOf = (text: string, index: number): number => text.slice(0, index).split('\n').length

/** `a/b.ts` + `../c/d.ts` → `c/d.ts`. */
const resolve = (from: string, specifier: string): string => {
  const parts = from.split('/').slice(0, -1)
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.') parts.push(part)
  }
  return parts.join('/')
}

const IMPORT = /(?:\bfrom\s*|\bimport\s*\(\s*|^import\s+)'([^']+)'/gm

export const checkLayers = (sources: readonly Source[]): Violation[] => {
  const found: Violation[] = []
  for (const { path, text } of sources) {
    const room = roomOf(path)
    for (const match of text.matchAll(IMPORT)) {
      const specifier = match[1]!
      const at = { path, line: lineOf(text, match.index) }
      if (!specifier.startsWith('.')) {
        if (isPure(path)) found.push({ ...at, rule: 'purity', detail: `a pure file imports ${specifier}` })
        continue
      }
      if (room === 'main') continue
      const target = resolve(path, specifier)
      const targetRoom = roomOf(target)
      if (targetRoom === room) continue
      if (!LAYERS[room]?.includes(targetRoom))
        found.push({ ...at, rule: 'layers', detail: `${room} may not import ${targetRoom} (${target})` })
      else if (DOORS[targetRoom] && !DOORS[targetRoom].includes(target))
        found.push({ ...at, rule: 'doors', detail: `${target} is not a door of ${targetRoom}` })
    }
  }
  return found
}

interface Ban {
  readonly rule: string
  readonly pattern: RegExp
  readonly where: (path: string) => boolean
  readonly instead: string
}

const outsideHost = (path: string): boolean => !path.startsWith('host/')
const everywhere = (): boolean => true

export const BANS: readonly Ban[] = [
  {
    rule: 'time',
    pattern: /\bDate\.now\(|\bperformance\.now\(|\bnew Date\(\)|\bprocess\.hrtime/g,
    where: outsideHost,
    instead: 'take a Clock',
  },
  {
    rule: 'timers',
    pattern: /\b(setTimeout|setInterval)\(|\bAbortSignal\.timeout\(/g,
    where: outsideHost,
    instead: 'clock.after or clock.sleep',
  },
  {
    rule: 'randomness',
    pattern: /\bMath\.random\(|\brandomUUID\b|\brandomBytes\b|\brandomFill/g,
    where: outsideHost,
    instead: 'take a Random',
  },
  {
    rule: 'purity',
    pattern: /\basync\b|\bawait\b|\bPromise\.|\bprocess\.|\bBuffer\b/g,
    where: path => isPure(path) && !path.startsWith('base/') && !path.startsWith('store/'),
    instead: 'return actions, let the shell act',
  },
  { rule: 'order', pattern: /\blocaleCompare\b|\bIntl\.|\btoLocale\w*String\(/g, where: isPure, instead: 'compare by code unit' },
  { rule: 'state', pattern: /^(export )?let /gm, where: everywhere, instead: 'no module-level mutable state' },
  { rule: 'errors', pattern: /catch\s*(\([^)]*\))?\s*\{\s*\}/g, where: everywhere, instead: 'handle by reason or rethrow' },
  {
    rule: 'errors',
    pattern: /\.catch\(\(\)\s*=>\s*(\{\s*\}|undefined|null)\)/g,
    where: everywhere,
    instead: 'handle by reason or rethrow',
  },
  { rule: 'leftover', pattern: /\b(TODO|FIXME|XXX|HACK)\b/g, where: everywhere, instead: 'do it, or file an issue' },
  { rule: 'defaults', pattern: /^export default /gm, where: everywhere, instead: 'named exports' },
  { rule: 'types', pattern: /\bas any\b|: any\b/g, where: everywhere, instead: 'unknown, parsed once' },
]

const withoutComments = (text: string): string =>
  text
    .replace(/\/\*[\s\S]*?\*\//g, block => block.replace(/[^\n]/g, ' '))
    .replace(/(^|[\s;{(,])\/\/[^\n]*/g, line => line.replace(/[^\n]/g, ' '))

export const checkBans = (sources: readonly Source[]): Violation[] => {
  const found: Violation[] = []
  for (const { path, text } of sources) {
    if (path.includes('generated/')) continue
    const code = withoutComments(text)
    for (const ban of BANS) {
      if (!ban.where(path)) continue
      for (const match of (ban.rule === 'leftover' ? text : code).matchAll(ban.pattern))
        found.push({ path, line: lineOf(text, match.index), rule: ban.rule, detail: `${match[0].trim()}: ${ban.instead}` })
    }
  }
  return found
}

const BANNED_NAMES = ['utils', 'helpers', 'common', 'misc', 'manager', 'service-utils', 'types']
/** The linter warns at 400; above this the build fails. */
export const LINES_MAX = 400

export const checkFiles = (sources: readonly Source[]): Violation[] => {
  const found: Violation[] = []
  for (const { path, text } of sources) {
    if (path.includes('generated/') || path.endsWith('.d.ts')) continue
    const name = path.slice(path.lastIndexOf('/') + 1).replace(/\.ts$/, '')
    if (BANNED_NAMES.includes(name)) found.push({ path, line: 1, rule: 'names', detail: `a file may not be called ${name}` })
    if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) found.push({ path, line: 1, rule: 'names', detail: 'file names are kebab-case' })
    if (!text.startsWith('// ')) found.push({ path, line: 1, rule: 'header', detail: 'starts with a comment that says what it is' })
    const lines = text.split('\n').length
    if (lines > LINES_MAX) found.push({ path, line: lines, rule: 'length', detail: `${lines} lines, at most ${LINES_MAX}: split by noun` })
  }
  return found
}

/** SQL that can return several rows says in which order. */
export const checkSql = (sources: readonly Source[]): Violation[] => {
  const found: Violation[] = []
  for (const { path, text } of sources) {
    for (const match of text.matchAll(/(['"`])\s*SELECT\b[\s\S]*?\1/gi)) {
      const sql = match[0]
      if (/ORDER BY|LIMIT 1|COUNT\(|MAX\(|MIN\(|SUM\(|sqlite_version|WHERE\s+\w+\s*=\s*\?/i.test(sql) || !/FROM/i.test(sql)) continue
      found.push({ path, line: lineOf(text, match.index), rule: 'sql', detail: `SELECT without ORDER BY: ${sql.slice(0, 60)}` })
    }
  }
  return found
}
