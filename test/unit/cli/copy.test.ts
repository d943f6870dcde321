// What `cp`, `exec` and `port-forward` make of words, statuses and archives; the archives come from a container and may be anything.

import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { pack } from 'tar-stream'
import { parseEnd } from '../../../src/cli/cp.ts'
import { Failure } from '../../../src/cli/failure.ts'
import { parseForward } from '../../../src/cli/port-forward.ts'
import { exitCodeOf } from '../../../src/cli/remote-command.ts'
import { openUnpack, placeOf, staysInside } from '../../../src/cli/unpack.ts'
import { fc } from '../../property.ts'

interface Entry {
  readonly name: string
  readonly type?: 'file' | 'directory' | 'symlink' | 'link' | 'fifo'
  readonly linkname?: string
  readonly mode?: number
}

const archiveOf = async (entries: readonly Entry[]): Promise<Buffer> => {
  const archive = pack()
  for (const { name, type = 'file', ...rest } of entries) archive.entry({ name, type, ...rest }, type === 'file' ? 'text' : '')
  archive.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of archive as unknown as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const unpackInto = async (destination: string, entries: readonly Entry[]): Promise<readonly string[]> => {
  const warnings: string[] = []
  const unpack = openUnpack({ destination, root: 'top', warn: text => void warnings.push(text) })
  const all = (async () => {
    await unpack.write(await archiveOf(entries))
    await unpack.end()
  })()
  await Promise.race([all, unpack.failed])
  return warnings
}

const folder = (t: { teardown(fn: () => void): void }): string => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-unit-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  return dir
}

t.test('files, folders and links inside are unpacked with their modes, without set-id bits', async t => {
  const dir = join(folder(t), 'new')
  const warnings = await unpackInto(dir, [
    { name: 'top/', type: 'directory' },
    { name: 'top/a/b', mode: 0o4755 },
    { name: 'top/link', type: 'symlink', linkname: 'a/b' },
    { name: './top/c' },
  ])
  t.same(warnings, [])
  t.equal(readFileSync(join(dir, 'link'), 'utf8'), 'text')
  t.equal(lstatSync(join(dir, 'a/b')).mode & 0o7777, 0o755)
  t.same(readdirSync(dir).sort(), ['a', 'c', 'link'])
})

t.test('one file becomes the destination itself', async t => {
  const dir = folder(t)
  await unpackInto(join(dir, 'file'), [{ name: 'top' }])
  t.equal(readFileSync(join(dir, 'file'), 'utf8'), 'text')
})

t.test('nothing leads out of the destination', async t => {
  const dir = folder(t)
  const inside = join(dir, 'inside')
  for (const name of ['/etc/x', '../x', 'top/../../x', 'other/x', 'top/a/../../../x', 'topmost'])
    await t.rejects(unpackInto(inside, [{ name }]), /outside of what was asked for/, name)
  const warnings = await unpackInto(inside, [
    { name: 'top/abs', type: 'symlink', linkname: '/etc/passwd' },
    { name: 'top/up', type: 'symlink', linkname: '../../etc' },
    { name: 'top/hard', type: 'link', linkname: '/etc/passwd' },
    { name: 'top/pipe', type: 'fifo' },
  ])
  t.equal(warnings.length, 4, 'each is told')
  t.same(existsSync(inside) ? readdirSync(inside) : [], [])
})

t.test('no link is written through, neither one of the archive nor one that was there', async t => {
  const dir = folder(t)
  const [inside, outside] = [join(dir, 'inside'), join(dir, 'outside')]
  mkdirSync(outside)
  mkdirSync(inside)
  symlinkSync(outside, join(inside, 'there'))
  await t.rejects(unpackInto(inside, [{ name: 'top/there/x' }]), /is a link, nothing is written through it/)
  await t.rejects(
    unpackInto(inside, [
      { name: 'top/real', type: 'directory' },
      { name: 'top/in', type: 'symlink', linkname: 'real' },
      { name: 'top/in/x' },
    ]),
    /is a link/,
  )
  writeFileSync(join(outside, 'kept'), 'kept')
  symlinkSync(join(outside, 'kept'), join(inside, 'file'))
  await unpackInto(inside, [{ name: 'top/file' }])
  t.equal(readFileSync(join(outside, 'kept'), 'utf8'), 'kept', 'the link was replaced')
  t.same(readdirSync(outside), ['kept'])
})

t.test('a place is always below the destination', async t => {
  const part = fc.constantFrom('..', '.', '', 'top', 'a', '/')
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), parts => {
      const place = placeOf(parts.join('/'), 'top')
      return place === undefined || (!place.startsWith('/') && !place.split('/').includes('..'))
    }),
  )
  t.equal(staysInside('a/b/link', '../../c'), true)
  t.equal(staysInside('a/b/link', '../../../c'), false)
  t.equal(staysInside('link', 'a/../..'), false)
})

/** The exit code that a refusal of words stands for. */
const usageOf = (parse: () => unknown): number | undefined => {
  try {
    parse()
    return undefined
  } catch (error) {
    return error instanceof Failure ? error.exitCode : undefined
  }
}

t.test('words of the command line', async t => {
  t.same(parseEnd('web:/etc/hosts'), { pod: 'web', namespace: undefined, path: '/etc/hosts' })
  t.same(parseEnd('shop/web:hosts'), { pod: 'web', namespace: 'shop', path: 'hosts' })
  for (const here of ['hosts', './web:x', '/tmp/a:b']) t.same(parseEnd(here), { pod: undefined, namespace: undefined, path: here })
  for (const wrong of ['web:', 'a/b/c:d', 'a/:d'])
    t.equal(
      usageOf(() => parseEnd(wrong)),
      2,
      wrong,
    )
  t.same(['8080:80', '80', ':80', ':http', '8080:http'].map(parseForward), [
    { local: 8080, remote: '80' },
    { local: 80, remote: '80' },
    { local: 0, remote: '80' },
    { local: 0, remote: 'http' },
    { local: 8080, remote: 'http' },
  ])
  for (const wrong of ['', '0', '99999', '8080:0', '99999:80', 'a:b:c', '8080:', '-1'])
    t.equal(
      usageOf(() => parseForward(wrong)),
      2,
      wrong,
    )
})

t.test('how a command ended', async t => {
  const status = (rest: object): string => JSON.stringify({ metadata: {}, status: 'Failure', ...rest })
  t.equal(exitCodeOf('{"metadata":{},"status":"Success"}'), 0)
  t.equal(exitCodeOf(status({ reason: 'NonZeroExitCode', details: { causes: [{ reason: 'ExitCode', message: '42' }] } })), 42)
  t.throws(() => exitCodeOf(status({ reason: 'InternalError', code: 500, message: 'no such thing' })), /no such thing/)
  t.throws(() => exitCodeOf(status({ message: 'plain' })), /plain/)
  t.throws(() => exitCodeOf(''), /the connection ended before the command did/)
})
