// Server memory a device without any socket: the hub with so many connections in one process (link-memory-room.ts), and the same behind the
// server's side of a broker, where each is a sealed conversation (broker-memory.ts). Each in a process of its own.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { type Bench, KB } from './link-figures.ts'
import type { Room } from './link-memory-room.ts'
import { end } from './link-program.ts'

const DEVICES = 100_000
/** Each has keys of its own and proves itself: milliseconds a device. */
const DEVICES_BROKER = 10_000
const WANTED_KB = 8

interface BrokerRoom {
  readonly heapBytesPerDevice: number
  readonly residentBytesPerDevice: number
}

/** Runs a file of this folder, whose last line on standard output is JSON. */
const ask = (bench: Bench, file: string, count: number): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const words = ['--no-warnings', '--expose-gc', '--max-semi-space-size=8', join(import.meta.dirname, file), String(count)]
    const child = spawn(process.execPath, words, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '65536' },
    })
    const done = bench.cleanup(() => end(child))
    const state = { said: '' }
    child.stdout.on('data', chunk => {
      state.said += chunk
    })
    child.once('error', reject)
    child.once('close', code => {
      void done()
      if (code === 0) resolve(JSON.parse(state.said.trim().split('\n').at(-1) ?? ''))
      else reject(new Error(`${file} ended with ${code}`))
    })
  })

export const benchMemory = async (bench: Bench): Promise<void> => {
  const room = (await ask(bench, 'link-memory-room.ts', DEVICES)) as Room
  bench.say({
    part: 'memory',
    what: `${DEVICES} in-memory connections: server memory a device`,
    value: room.rssKb,
    unit: 'KB',
    wanted: WANTED_KB,
    from: `heap ${room.heapKb.toFixed(2)} KB, buffers ${room.externalKb.toFixed(2)} KB; RSS ${room.rssMb.toFixed(0)} MB; ${room.seconds.toFixed(0)} s`,
  })
  const count = bench.full ? DEVICES : DEVICES_BROKER
  const broker = (await ask(bench, 'broker-memory.ts', count)) as BrokerRoom
  bench.say({
    part: 'memory',
    what: `${count} conversations through a broker: server memory a device`,
    value: broker.residentBytesPerDevice / KB,
    unit: 'KB',
    wanted: WANTED_KB,
    from: `heap and buffers ${(broker.heapBytesPerDevice / KB).toFixed(2)} KB`,
  })
}
