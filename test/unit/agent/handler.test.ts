// Probes and hooks against real sockets: what counts as success, and that every one ends in time.

import { createServer as createHttp } from 'node:http'
import { createServer as createTcp, type Server } from 'node:net'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { type Handler, runHandler } from '../../../src/agent/handler.ts'
import { systemClock } from '../../../src/host/clock.ts'
import type { ExecSession } from '../../../src/runtime/runtime.ts'

const killed: string[] = []
const session = (command: readonly string[]): ExecSession => {
  const stdout = new PassThrough()
  const [program = '', arg = ''] = command
  stdout.end(`said by ${program}\n`)
  const exitCode = program === 'hang' ? new Promise<number>(() => undefined) : Promise.resolve(Number(arg || 0))
  return { exitCode, stdin: undefined, stdout, stderr: undefined, resize: () => undefined, kill: () => void killed.push(program) }
}
const runtime = {
  exec: async (id: string, command: readonly string[]) => {
    if (id !== 'c1') throw new Error(`exec: container ${id} is not running`)
    return session(command)
  },
}
const run = (handler: Handler, ports: Record<string, number> = {}, timeoutMs = 1000, id = 'c1') =>
  runHandler(handler, { id, host: '127.0.0.1', ports }, timeoutMs, { clock: systemClock, runtime })

const listen = async (t: { teardown(fn: () => void): void }, server: Server): Promise<number> => {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', () => resolve()))
  t.teardown(() => server.close())
  const address = server.address()
  return address === null || typeof address === 'string' ? 0 : address.port
}

t.test('httpGet: 200 to 399 is success; headers, path and named ports are used', async t => {
  const server = createHttp((request, response) => {
    if (request.url === '/hang') return
    response.statusCode = Number(request.url?.slice(1)) || (request.headers['x-key'] === 'v' ? 200 : 500)
    response.end('x'.repeat(100_000))
  })
  t.teardown(() => server.closeAllConnections())
  const port = await listen(t, server)
  t.same(await run({ httpGet: { port, path: '/200' } }), { ok: true, message: '' })
  t.match(await run({ httpGet: { port, path: '302' } }), { ok: true })
  t.same(await run({ httpGet: { port, path: '/404' } }), { ok: false, message: 'HTTP probe failed with statuscode: 404' })
  t.match(await run({ httpGet: { port: 'web', path: '/', httpHeaders: [{ name: 'X-Key', value: 'v' }] } }, { web: port }), { ok: true })
  t.same(await run({ httpGet: { port, path: '/hang' } }, {}, 60), { ok: false, message: 'no answer within 60 ms' })
  t.match(await run({ httpGet: { port: 'nameless' } }), { ok: false })
})

t.test('tcpSocket: a connection is success', async t => {
  const port = await listen(
    t,
    createTcp(socket => socket.destroy()),
  )
  t.match(await run({ tcpSocket: { port } }), { ok: true })
  t.match(await run({ tcpSocket: { port: 1 } }), { ok: false, message: /ECONNREFUSED/ })
})

t.test('exec: exit code 0 is success, output is the message, too late is killed', async t => {
  t.match(await run({ exec: { command: ['true'] } }), { ok: true })
  t.same(await run({ exec: { command: ['false', '3'] } }), { ok: false, message: 'said by false' })
  t.match(await run({ exec: { command: ['hang'] } }, {}, 30), { ok: false, message: /no answer/ })
  t.same(killed, ['hang'])
  t.match(await run({ exec: { command: ['true'] } }, {}, 1000, 'gone'), { ok: false, message: /is not running/ })
})

t.test('sleep sleeps, but not beyond its time; the rest is refused', async t => {
  t.match(await run({ sleep: { seconds: 100 } }, {}, 10), { ok: true })
  t.match(await run({ grpc: { port: 1 } }), { ok: false, message: /grpc/ })
  t.match(await run({}), { ok: false })
})
