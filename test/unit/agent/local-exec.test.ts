// Commands over the local socket: bytes both ways, the end and its code, and callers who go away or send what is no frame.

import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import t, { type Test } from 'tap'
import { type LocalExecDeps, serveExec } from '../../../src/agent/local-exec.ts'
import { channelFrames, channelReader } from '../../../src/base/channel-frames.ts'
import { ApiError } from '../../../src/base/errors.ts'

interface Command {
  readonly words: readonly string[]
  readonly sizes: { rows: number; columns: number }[]
  readonly over: Promise<void>
}

/** A socket whose commands give back what they read, until it ends. */
const listen = async (t: Test) => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-exec-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const commands: Command[] = []
  const openExec: LocalExecDeps['openExec'] = async (target, { command }, { output, signal }) => {
    if (target.pod !== 'p') throw new ApiError('NotFound', `pods "${target.pod}" not found`, { hint: 'look again' })
    const sizes: Command['sizes'] = []
    const over = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
    commands.push({ words: command, sizes, over })
    const ended = { resolve: (_code: number): void => {} }
    const exitCode = new Promise<number>(resolve => {
      ended.resolve = resolve
    })
    await Promise.resolve()
    void output('stderr', Buffer.from('begun\n'))
    return {
      write: async data => (data.length === 0 ? ended.resolve(7) : output('stdout', data)),
      resize: size => void sizes.push(size),
      exitCode,
    }
  }
  const actor = (nonce: string | undefined): string => {
    if (nonce === 'bad') throw new ApiError('Forbidden', 'act on this device: no')
    return 'root'
  }
  const peers = { socket: { mode: 0o600, gid: undefined }, challenge: () => '', actor }
  const server = createServer()
  server.on('upgrade', (call, socket, head) => serveExec({ peers, openExec }, call, socket, head))
  const socketPath = join(dir, 's')
  await new Promise<void>(resolve => server.listen(socketPath, resolve))
  t.teardown(() => new Promise(resolve => server.close(resolve)))
  const open = (query: string, headers: Record<string, string> = {}): Promise<Duplex | { code: number; text: string }> =>
    new Promise((resolve, reject) => {
      const call = request({
        socketPath,
        path: `/v1/exec?${query}`,
        headers: { connection: 'Upgrade', upgrade: 'helio-exec', ...headers },
        agent: false,
      })
      call.on('upgrade', (_response, socket, head) => {
        socket.unshift(head)
        resolve(socket)
      })
      call.on('response', response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => resolve({ code: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
      })
      call.on('error', reject)
      call.end()
    })
  const connect = async (query: string): Promise<Duplex> => (await open(query)) as Duplex
  return { open, connect, commands }
}

/** Everything until the socket ends, by channel. */
const gather = async (socket: Duplex): Promise<Map<number, Buffer>> => {
  const read = channelReader()
  const found = new Map<number, Buffer>()
  for await (const piece of socket as AsyncIterable<Buffer>)
    for (const { channel, data } of read(piece)) found.set(channel, Buffer.concat([found.get(channel) ?? Buffer.alloc(0), data]))
  return found
}

t.test('what goes in comes out, whole; then the code', async t => {
  const { connect, commands } = await listen(t)
  const socket = await connect('pod=p&command=cat&command=-')
  const data = Buffer.alloc(300_000, 'abc')
  socket.write(channelFrames(4, Buffer.from('{"Width":80,"Height":24}')))
  socket.write(channelFrames(4, Buffer.from('{"Width":-1}')))
  socket.write(channelFrames(0, data))
  socket.write(channelFrames(0, new Uint8Array(0)))
  const found = await gather(socket)
  t.ok(found.get(1)?.equals(data))
  t.equal(found.get(2)?.toString(), 'begun\n')
  t.same(JSON.parse(String(found.get(3))), { exitCode: 7 })
  t.strictSame(commands[0]?.words, ['cat', '-'])
  t.strictSame(commands[0]?.sizes, [{ columns: 80, rows: 24 }])
})

t.test('a caller who goes away ends the command', async t => {
  const { connect, commands } = await listen(t)
  const socket = await connect('pod=p&command=cat')
  socket.destroy()
  await commands[0]?.over
  t.pass('it was told')
})

t.test('what is no frame ends the connection and the command', async t => {
  const { connect, commands } = await listen(t)
  const socket = await connect('pod=p&command=cat')
  const ended = gather(socket)
  socket.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]))
  await commands[0]?.over
  t.notOk((await ended.catch(() => new Map())).has(3), 'there is no end to tell')
})

t.test('what cannot run is refused before the upgrade, with the code of its reason', async t => {
  const { open } = await listen(t)
  t.match(await open('pod=x&command=cat'), { code: 404, text: /"hint":"look again"/ })
  t.match(await open('command=cat'), { code: 400 })
  t.match(await open('pod=p'), { code: 400, text: /words after --/ })
  t.match(await open('pod=p&command=cat', { 'helio-peer': 'bad' }), { code: 403 })
  t.match(await open('pod=p&command=cat', { upgrade: 'websocket' }), { code: 404 })
})
