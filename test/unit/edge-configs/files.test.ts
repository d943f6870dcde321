// Every file of edge-configs, each by its real reader: manifests by the command line and the API that they are applied with, configuration by
// the options of its role, scripts by their interpreters. A file of no known sort fails.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { edgeImages } from '../../../scripts/edge-images.ts'
import { parseWays } from '../../../src/main-link.ts'
import { readRole } from '../../../src/main-options.ts'
import { openWorld, type World } from '../cli/world.ts'

const root = join(import.meta.dirname, '../../../edge-configs')
const files = readdirSync(root, { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile())
  .map(entry => relative(root, join(entry.parentPath, entry.name)))
  .sort()
const setOf = (file: string): string => file.slice(0, file.indexOf('/'))
const sets = [...new Set(files.map(setOf))]
const isManifest = (file: string): boolean => file.endsWith('.yaml') && basename(dirname(file)) !== 'config'

interface Anything {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly data?: Readonly<Record<string, string>>
}
const objectsOf = (file: string): Anything[] =>
  parseAllDocuments(readFileSync(join(root, file), 'utf8'), { version: '1.1' }).map(document => document.toJS() as Anything)

/** Values of all fields called `image`, wherever they are. */
const imagesIn = (value: unknown): string[] =>
  typeof value !== 'object' || value === null
    ? []
    : Object.entries(value).flatMap(([key, below]) => (key === 'image' && typeof below === 'string' ? [below] : imagesIn(below)))

const dir = mkdtempSync(join(tmpdir(), 'helio-edge-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

const openedFor = async (name: string): Promise<World> => openWorld(join(dir, name))

t.test('every file is a manifest, a configuration or a README', async t => {
  t.ok(files.length > 10)
  const strays = files.filter(file => !isManifest(file) && !/^[a-z-]+\/(README\.md|config\/(server|agent|agent-[a-z]+)\.yaml)$/.test(file))
  t.strictSame(strays, [])
  for (const set of sets.filter(each => each !== 'hello')) {
    t.ok(existsSync(join(root, set, 'README.md')), `${set} has a README`)
    t.ok(existsSync(join(root, set, 'config/server.yaml')), `${set} has a server`)
  }
})

for (const set of sets)
  t.test(`${set}: the API takes every manifest as it is, knows every field, and changes nothing the second time`, async t => {
    const world = await openedFor(set)
    t.teardown(() => world.close())
    const manifests = files.filter(file => setOf(file) === set && isManifest(file))
    // Folders as the README applies them: the set's own first.
    for (const folder of [...new Set(manifests.map(dirname))].sort()) {
      const words = ['apply', '--validate=strict', '-f', join(root, folder)]
      const first = await world.helio(words)
      t.equal(first.code, 0, first.stderr)
      t.notMatch(first.stderr, /[Ww]arning/, folder)
      const named = manifests.filter(file => dirname(file) === folder).flatMap(objectsOf)
      t.equal(first.stdout.trim().split('\n').length, named.length, 'nothing was passed over')
      const again = await world.helio(words)
      t.notMatch(again.stdout, /configured|created/, folder)
    }
  })

t.test('a misspelt field or a wrong value would be noticed', async t => {
  const world = await openedFor('wrong')
  t.teardown(() => world.close())
  for (const [right, wrong] of [
    ['readOnlyRootFilesystem', 'readOnlyRootFileSystem'],
    ['replace-after: 5m', 'replace-after: 5minutes'],
    ['drop: ["ALL"]', 'drop: "ALL"'],
  ] as const) {
    const text = readFileSync(join(root, 'cell-tower/breakout-cache.yaml'), 'utf8')
    t.ok(text.includes(right))
    const file = world.file('wrong.yaml', text.replace(right, wrong))
    t.not((await world.helio(['apply', '--validate=strict', '-f', file])).code, 0, wrong)
  }
})

for (const file of files.filter(each => each.endsWith('.yaml') && !isManifest(each)))
  t.test(`${file}: the role takes it, with no field it does not know`, async t => {
    const { apiVersion: _, kind, ...fields } = parse(readFileSync(join(root, file), 'utf8')) as Record<string, unknown>
    const role = basename(file).startsWith('server') ? 'server' : 'agent'
    t.equal(kind, role === 'server' ? 'ServerConfiguration' : 'AgentConfiguration')
    const options = await readRole(role, ['--config', join(root, file), '--data-dir', join(dir, 'data')])
    if (typeof options === 'number') return t.fail(`refused with exit code ${options}`)
    t.match(options, { ...fields, dataDir: join(dir, 'data') })
    if (role === 'agent') t.ok(parseWays(String(options['link'] ?? 'ws')), 'ways to the server')
  })

t.test('a configuration with a field that there is not is refused', async t => {
  const file = join(dir, 'agent.yaml')
  writeFileSync(file, `${readFileSync(join(root, 'cell-tower/config/agent.yaml'), 'utf8')}\nrunTime: crun\n`)
  const { write } = process.stderr
  process.stderr.write = () => true
  t.teardown(() => {
    process.stderr.write = write
  })
  t.equal(await readRole('agent', ['--config', file, '--data-dir', join(dir, 'data')]), 2)
})

t.test('the images that a set names are the ones that its script makes', async t => {
  const made = edgeImages()
  for (const set of sets) {
    const named = [...new Set(files.filter(file => setOf(file) === set && isManifest(file)).flatMap(file => imagesIn(objectsOf(file))))]
    const names = set === 'hello' ? ['heliopause.local/hello:1'] : Object.values(made[set] ?? {}).map(recipe => recipe.name)
    t.strictSame(named.sort(), names.sort(), set)
  }
  t.strictSame([...Object.keys(made), 'hello'].sort(), sets)
})

/** The file of a script, for those who only look at it. */
const written = (name: string, text: string): string => {
  mkdirSync(join(dir, 'scripts'), { recursive: true })
  writeFileSync(join(dir, 'scripts', name), text)
  return join(dir, 'scripts', name)
}

t.test('the scripts in ConfigMaps can be read by the interpreters of the images', async t => {
  const maps = files.filter(isManifest).flatMap(file => objectsOf(file).filter(({ kind }) => kind === 'ConfigMap'))
  const scripts = maps
    .flatMap(({ data = {} }) => Object.entries(data))
    .filter(([name, text]) => /\.(sh|pl)$/.test(name) || text.startsWith('#!'))
  t.ok(scripts.length >= 6, 'they were found')
  for (const [name, text] of scripts) {
    const [command, flag] = name.endsWith('.pl') ? ['perl', '-c'] : ['busybox', 'sh']
    const words = name.endsWith('.pl') ? [flag!] : [flag!, '-n']
    const { error, status, stderr } = spawnSync(command!, [...words, written(name, text)], { encoding: 'utf8' })
    if (error) t.comment(`SKIPPED LOUDLY: ${name} is not checked: no ${command}`)
    else t.equal(status, 0, `${name}: ${stderr}`)
  }
})
