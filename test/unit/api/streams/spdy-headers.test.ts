// Header blocks as clients compress them, and as no client should.

import { constants, createDeflate, deflateSync, inflateSync } from 'node:zlib'
import t from 'tap'
import { HEADER_BLOCK_BYTES_MAX } from '../../../../src/api/streams/limits.ts'
import { SPDY_DICTIONARY } from '../../../../src/api/streams/spdy-dictionary.ts'
import { createHeaderReader, createHeaderWriter } from '../../../../src/api/streams/spdy-headers.ts'
import { fc } from '../../../property.ts'

const counted = (text: string): Buffer => {
  const bytes = Buffer.from(text)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

const plain = (pairs: readonly (readonly [string, string])[], count = pairs.length): Buffer => {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(count)
  return Buffer.concat([head, ...pairs.flatMap(([name, value]) => [counted(name), counted(value)])])
}

/** The first block of a connection, as Go's zlib writer makes it. */
const compressed = (content: Buffer): Buffer => deflateSync(content, { dictionary: SPDY_DICTIONARY, finishFlush: constants.Z_SYNC_FLUSH })

/** Blocks of one connection, flushed one by one, as clients do. */
const connection = async (contents: readonly Buffer[]): Promise<readonly Buffer[]> => {
  const deflate = createDeflate({ dictionary: SPDY_DICTIONARY })
  const blocks: Buffer[] = []
  for (const content of contents) {
    deflate.write(content)
    await new Promise<void>(resolve => deflate.flush(constants.Z_SYNC_FLUSH, resolve))
    blocks.push(deflate.read() as Buffer)
  }
  return blocks
}

t.test('the dictionary is the one every stream names', async t => {
  t.equal(compressed(plain([])).toString('hex', 2, 6), 'e3c6a7c2')
})

t.test('blocks of one connection are read in order, each with what came before it', async t => {
  const names = ['error', 'stdout', 'stderr', 'stdin', 'x'.repeat(20_000), 'y'.repeat(20_000), 'resize']
  const blocks = await connection(names.map(name => plain([['streamType', name]])))
  t.ok(blocks[1]!.length < blocks[0]!.length, 'a later block leans on the first')
  const read = createHeaderReader()
  t.same(
    blocks.map(block => [...read(block)]),
    names.map(name => [['streamtype', name]]),
    'names come in lower case',
  )
})

t.test('bombs and damage end the reading', async t => {
  const bomb = compressed(plain([['a', 'x'.repeat(HEADER_BLOCK_BYTES_MAX)]]))
  t.ok(bomb.length < 1000)
  t.throws(() => createHeaderReader()(bomb))
  t.throws(() => createHeaderReader()(compressed(plain([], 1_000_000))), /more than \d+ names/)
  t.throws(() => createHeaderReader()(compressed(plain([], 1))), /ends too soon/)
  t.throws(() => createHeaderReader()(Buffer.from('no zlib')), /not compressed/)
  t.throws(() => createHeaderReader()(Buffer.alloc(0)), /not compressed/)
})

t.test('no bytes make the reader do anything but read or throw an Error', async t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, wrapped) => {
      const block = wrapped ? compressed(Buffer.from(bytes)) : Buffer.from(bytes)
      try {
        return createHeaderReader()(block).size <= 64
      } catch (error) {
        return error instanceof Error
      }
    }),
  )
  t.pass('any bytes')
})

t.test('what is written is read by any inflater, block by block', async t => {
  const write = createHeaderWriter()
  const [first, second] = [write(new Map([['a', 'b']])), write(new Map())]
  const read = createHeaderReader()
  t.same([...read(first)], [['a', 'b']])
  t.same([...read(second)], [])
  const whole = inflateSync(Buffer.concat([first, second]), { finishFlush: constants.Z_SYNC_FLUSH })
  t.same(whole, Buffer.concat([plain([['a', 'b']]), plain([])]))
})
