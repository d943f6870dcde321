// The scripts in the ConfigMaps of edge-configs, run by the interpreters of their images against origins and PLCs that behave badly.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parseAllDocuments } from 'yaml'

const root = join(import.meta.dirname, '../../../edge-configs')
const dir = mkdtempSync(join(tmpdir(), 'helio-edge-scripts-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

/** A script of a ConfigMap as a file, with folders of the container where the test has them. */
const scriptOf = (file: string, key: string, ...folders: readonly (readonly [RegExp, string])[]): string => {
  const maps = parseAllDocuments(readFileSync(join(root, file), 'utf8'), { version: '1.1' }).map(
    each => each.toJS() as { data?: Record<string, string> },
  )
  const text = maps.map(({ data }) => data?.[key]).find(each => each !== undefined)
  if (text === undefined) throw new Error(`${file} has no ${key}`)
  const path = join(dir, key)
  writeFileSync(
    path,
    folders.reduce((all, [from, to]) => all.replace(from, to), text),
  )
  return path
}

const without = (program: string): string | false =>
  spawnSync(program, ['--help']).error ? `SKIPPED LOUDLY: there is no ${program}` : false

t.test('the breakout cache', { skip: without('busybox') }, async t => {
  const copies = join(dir, 'copies')
  mkdirSync(copies)
  const script = scriptOf('cell-tower/breakout-cache.yaml', 'cache', [/\/cache(?=[/ )])/g, copies])
  const page = { text: 'one' }
  const origin = createHttpServer((request, response) => {
    if (request.url === '/gone') response.writeHead(404)
    response.end(page.text)
  }).listen(0, '127.0.0.1')
  await once(origin, 'listening')
  const settings = { FRESH_SECONDS: '300', ORIGIN_TIMEOUT_SECONDS: '5', OBJECT_KIB_MAX: '64', CACHE_KIB_MAX: '65536' }
  const ORIGIN = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`
  /** `HIT one`, or `502 Bad Gateway …`. */
  const ask = async (path: string, more: Readonly<Record<string, string>> = {}): Promise<string> => {
    const env = { ...process.env, REQUEST_METHOD: 'GET', ORIGIN, ...settings, PATH_INFO: path, ...more }
    const child = spawn('busybox', ['sh', script], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    const chunks: Buffer[] = []
    child.stdout.on('data', (bytes: Buffer) => chunks.push(bytes))
    await once(child, 'close')
    const [head = '', body] = Buffer.concat(chunks).toString().split('\r\n\r\n')
    return `${/(?:X-Cache|Status): (.*)/.exec(head)?.[1]} ${body?.trim()}`
  }

  t.equal(await ask('/a.txt'), 'MISS one')
  page.text = 'two'
  t.equal(await ask('/a.txt'), 'HIT one', 'fresh copies cost no call')
  t.equal(await ask('/a.txt', { FRESH_SECONDS: '0' }), 'MISS two')
  t.match(await ask('/gone'), /^502 /, 'an error of the origin is no copy')
  for (const [path, code] of [
    ['', '400'],
    ['/', '400'],
    ['/../etc/passwd', '400'],
    ['/a b', '400'],
    ['/$(touch x)', '400'],
    [`/${'a'.repeat(256)}`, '414'],
  ] as const)
    t.match(await ask(path), new RegExp(`^${code} `), path.slice(0, 20))
  t.match(await ask('/a.txt', { REQUEST_METHOD: 'POST' }), /^405 /)

  page.text = 'x'.repeat(64 * 1024 + 1)
  t.match(await ask('/large'), /^502 /, 'what is too large is not kept')
  t.strictSame(readdirSync(copies).length, 1, 'and nothing of it is left')

  page.text = 'y'.repeat(40 * 1024)
  const bound = { CACHE_KIB_MAX: '128', FRESH_SECONDS: '0' }
  for (const [i, path] of ['/1', '/2', '/3', '/4', '/5'].entries()) {
    t.match(await ask(path, bound), /^MISS /)
    // Copies of one second have no order.
    for (const copy of readdirSync(copies)) {
      const { mtimeMs } = statSync(join(copies, copy))
      utimesSync(join(copies, copy), 0, Math.floor(mtimeMs / 1000) - 10 * (i === 0 ? 2 : 1))
    }
  }
  t.ok(readdirSync(copies).length <= 3, 'copies stay within their bound')
  origin.close()
  origin.closeAllConnections()
  await once(origin, 'close')
  t.match(await ask('/5', bound), /^STALE y+$/, 'the last one is still there')
  t.match(await ask('/a.txt', bound), /^502 /, 'the first one is not')
})

t.test('the bridge survives a PLC that answers nonsense, and says each trouble once', { skip: without('perl') }, async t => {
  const read = join(dir, 'last-read')
  const script = scriptOf('factory-cell/plc-gateway.yaml', 'modbus.pl', [/\/run\/gateway\/last-read(?=')/, read])
  const good = (asked: Buffer): Buffer => Buffer.concat([asked.subarray(0, 4), Buffer.from([0, 7, 1, 3, 4, 0, 237, 255, 255])])
  const turns: ((asked: Buffer, plc: Socket) => void)[] = [
    (_, plc) => plc.destroy(),
    (_, plc) => plc.end(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')),
    (asked, plc) => plc.write(Buffer.concat([Buffer.from([asked[0]! ^ 1]), good(asked).subarray(1)])),
    (asked, plc) => plc.write(Buffer.concat([asked.subarray(0, 4), Buffer.from([0, 3, 1, 0x83, 2])])),
    (asked, plc) => plc.end(good(asked).subarray(0, 10)),
    (asked, plc) => plc.write(Buffer.concat([asked.subarray(0, 4), Buffer.from([255, 255, 1, 3, 4, 0, 0, 0, 0])])),
    (asked, plc) => plc.write(good(asked)),
    (asked, plc) => plc.write(good(asked)),
    (asked, plc) => plc.write(Buffer.concat([good(asked).subarray(0, 11), Buffer.from([0, 1])])),
  ]
  const plc = createServer(socket => {
    socket.on('error', () => socket.destroy())
    socket.on('data', asked => {
      const turn = turns.shift()
      if (turn) turn(asked, socket)
    })
  }).listen(0, '127.0.0.1')
  await once(plc, 'listening')
  const PLC_PORT = String((plc.address() as AddressInfo).port)
  const settings = { PLC_HOST: '127.0.0.1', PLC_PORT, PLC_UNIT: '1', FIRST_REGISTER: '10', REGISTER_COUNT: '2' }
  const env = { ...process.env, ...settings, POLL_SECONDS: '0', REPEAT_SECONDS: '60' }
  const bridge = spawn('perl', [script], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => {
    bridge.kill('SIGKILL')
    plc.close()
  })
  const said = { out: '', err: '' }
  bridge.stderr.on('data', bytes => {
    said.err += bytes
  })
  while (said.out.split('\n').length < 3) said.out += (await once(bridge.stdout, 'data'))[0]
  t.equal(said.out, '{"10":237,"11":65535}\n{"10":237,"11":1}\n', 'changes alone are told')
  t.ok(existsSync(read))
  t.match(said.err, /refuses with exception 2/)
  t.match(said.err, /not a Modbus answer/)
  t.equal(said.err.match(/the PLC answers/g)?.length, 1)
})
