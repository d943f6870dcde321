// SPDY connections against clients of every kind: streams and their ends, the brake, and what no client should send.

import { Duplex, PassThrough } from 'node:stream'
import t from 'tap'
import { CONTROL_BYTES_MAX, INBOUND_BYTES_MAX, SPDY_STREAMS_MAX } from '../../../../src/api/streams/limits.ts'
import { openSpdy, type SpdyStream } from '../../../../src/api/streams/spdy.ts'
import { createHeaderWriter } from '../../../../src/api/streams/spdy-headers.ts'
import { fc } from '../../../property.ts'

const frame = (type: number, flags: number, body: Buffer): Buffer => {
  const head = Buffer.alloc(8)
  head.writeUInt16BE(0x8003, 0)
  head.writeUInt16BE(type, 2)
  head[4] = flags
  head.writeUIntBE(body.length, 5, 3)
  return Buffer.concat([head, body])
}
const data = (id: number, bytes: Buffer, flags = 0): Buffer => {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(id, 0)
  head[4] = flags
  head.writeUIntBE(bytes.length, 5, 3)
  return Buffer.concat([head, bytes])
}

/** A connection whose far end the test plays. */
const open = () => {
  const [toServer, toClient] = [new PassThrough(), new PassThrough()]
  const socket = Duplex.from({ readable: toServer, writable: toClient })
  const streams: SpdyStream[] = []
  const timers = new Set<() => void>()
  const seen = { closed: 0, traffic: 0 }
  const closed = new Promise<void>(resolve => {
    openSpdy(socket, Buffer.alloc(0), {
      clock: {
        after: (_ms, fn) => {
          timers.add(fn)
          return () => void timers.delete(fn)
        },
      },
      onStream: stream => void streams.push(stream),
      onTraffic: () => void seen.traffic++,
      onClose() {
        seen.closed++
        resolve()
      },
    })
  })
  const write = createHeaderWriter()
  return {
    socket,
    timers,
    streams,
    seen,
    closed,
    send: (bytes: Buffer) => new Promise<void>(resolve => toServer.write(bytes, () => setImmediate(resolve))),
    syn: (id: number, headers: Record<string, string>, flags = 0) => {
      const ids = Buffer.alloc(10)
      ids.writeUInt32BE(id, 0)
      return frame(1, flags, Buffer.concat([ids, write(new Map(Object.entries(headers)))]))
    },
    received: () => (toClient.read() as Buffer | null) ?? Buffer.alloc(0),
  }
}

t.test('streams carry data both ways, and each direction ends by itself', async t => {
  const c = open()
  const got: string[] = []
  await c.send(c.syn(1, { streamType: 'stdin' }))
  const [stream] = c.streams
  t.equal(stream?.headers.get('streamtype'), 'stdin')
  stream!.onData = bytes => void got.push(bytes.toString())
  stream!.onEnd = () => void got.push('end')
  const bytes = Buffer.concat([data(1, Buffer.from('hello')), data(1, Buffer.from('bye'), 1), data(1, Buffer.from('late'))])
  for (const byte of bytes) await c.send(Buffer.from([byte]))
  t.equal(got.join('').replace('end', '|'), 'hellobye|', 'whatever the pieces it comes in')
  await stream!.write(Buffer.from('out'))
  stream!.end()
  await stream!.write(Buffer.from('after the end'))
  const reply = c.received()
  t.ok(reply.includes(data(1, Buffer.from('out'))))
  t.ok(reply.subarray(-8).equals(data(1, Buffer.alloc(0), 1)))
})

t.test('pings are answered; the other frames clients send do no harm', async t => {
  const c = open()
  const ping = Buffer.from([0, 0, 0, 7])
  await c.send(Buffer.concat([frame(6, 0, ping), frame(4, 0, Buffer.alloc(4)), frame(9, 0, Buffer.alloc(8)), frame(7, 0, Buffer.alloc(8))]))
  t.ok(c.received().equals(frame(6, 0, ping)))
  t.equal(c.seen.traffic, 0, 'and are no traffic')
  t.equal(c.seen.closed, 0)
})

t.test('what is not taken stops the reading, and taking goes on with it', async t => {
  const c = open()
  await c.send(c.syn(1, {}))
  const taken: (() => void)[] = []
  c.streams[0]!.onData = () => new Promise<void>(resolve => void taken.push(resolve))
  for (let i = 0; i < 64 && !c.socket.isPaused(); i++) await c.send(data(1, Buffer.alloc(INBOUND_BYTES_MAX / 16)))
  t.ok(c.socket.isPaused(), 'the connection is not read any more')
  for (const fn of [...c.timers]) {
    c.timers.delete(fn)
    fn()
  }
  t.ok(c.received().includes(frame(6, 0, Buffer.from([0, 0, 0, 2]))), 'meanwhile it is written to, since a dead client shows by that alone')
  for (const resolve of taken.splice(0)) resolve()
  await new Promise<void>(resolve => setImmediate(resolve))
  t.notOk(c.socket.isPaused())
  t.equal(c.timers.size, 0, 'and only then')
})

t.test('more streams than the bound are reset, the connection goes on', async t => {
  const c = open()
  for (let i = 0; i <= SPDY_STREAMS_MAX; i++) await c.send(c.syn(1 + i * 2, {}))
  t.equal(c.streams.length, SPDY_STREAMS_MAX)
  t.equal(c.seen.closed, 0)
})

t.test('what breaks the protocol ends the connection, and every stream with it', async t => {
  const wrong: readonly (readonly [string, (c: ReturnType<typeof open>) => Buffer])[] = [
    ['another version', () => Buffer.from('800200010000000a00000000000000000000', 'hex')],
    ['a control frame that is too large', () => frame(1, 0, Buffer.alloc(CONTROL_BYTES_MAX + 1))],
    ['a stream number of ours', c => c.syn(2, {})],
    ['a stream number again', c => Buffer.concat([c.syn(3, {}), c.syn(3, {})])],
    ['headers that are none', () => frame(1, 0, Buffer.alloc(40, 7))],
  ]
  for (const [what, make] of wrong) {
    const c = open()
    await c.send(c.syn(1, {}))
    const reset = new Promise<void>(resolve => {
      c.streams[0]!.onReset = resolve
    })
    await c.send(make(c))
    await Promise.all([c.closed, reset])
    t.ok(c.socket.destroyed, what)
  }
})

t.test('no bytes make it throw', async t => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), async chunks => {
      const c = open()
      await c.send(c.syn(1, { a: 'b' }))
      for (const chunk of chunks) await c.send(Buffer.from(chunk))
      c.socket.destroy()
      await c.closed
      return c.seen.closed === 1
    }),
  )
  t.pass('any bytes')
})
