// An emulated arm64 board: a qemu process with a serial console that is read line by line, a reset button and a plug. Software emulation; the
// network is qemu's own, in which this machine's loopback is 10.0.2.2.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createConnection } from 'node:net'
import { createInterface } from 'node:readline'

export const QEMU = 'qemu-system-aarch64'
/** This machine's loopback, as the board sees it. */
export const HOST = '10.0.2.2'

export interface BoardOptions {
  readonly kernel: string
  readonly initrd: string
  readonly disk: string
  readonly network: boolean
  /** For the control socket. */
  readonly dir: string
  readonly onLine: (line: string) => void
}

export interface Board {
  /** Settles with the first line that matches, of those to come and those that came; rejects after `ms`, or when the board ends. */
  line(what: RegExp, ms: number): Promise<string>
  /** The reset button: the machine begins anew, what was in its memory is lost. Lines of before no longer count. */
  reset(): Promise<void>
  /** Pulls the plug. */
  off(): Promise<void>
}

const arguments_ = ({ kernel, initrd, disk, network }: BoardOptions, socket: string): string[] => [
  ...[
    '-M',
    'virt',
    '-accel',
    'tcg,thread=multi',
    '-cpu',
    'cortex-a57',
    '-smp',
    '2',
    '-m',
    '1024',
    '-nographic',
    '-no-user-config',
    '-nodefaults',
  ],
  ...['-kernel', kernel, '-initrd', initrd, '-append', 'root=/dev/vda2 rw console=ttyAMA0 systemd.show_status=1 panic=5'],
  ...['-drive', `if=none,id=disk,format=raw,file=${disk}`, '-device', 'virtio-blk-pci,drive=disk', '-device', 'virtio-rng-pci'],
  ...(network ? ['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net'] : ['-nic', 'none']),
  ...['-serial', 'stdio', '-monitor', 'none', '-qmp', `unix:${socket},server=on,wait=off`],
]

/** One command over the control socket (QMP). */
const control = (socket: string, command: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const line = createConnection(socket)
    line.on('error', reject)
    line.on('connect', () => line.write(`{"execute":"qmp_capabilities"}\n{"execute":${JSON.stringify(command)}}\n`))
    let returns = 0
    createInterface({ input: line }).on('line', text => {
      if (!text.includes('"return"') || ++returns < 2) return
      line.destroy()
      resolve()
    })
  })

export const startBoard = (options: BoardOptions): Board => {
  const socket = `${options.dir}/qmp-${process.pid}.sock`
  const child: ChildProcess = spawn('nice', ['-n', '5', QEMU, ...arguments_(options, socket)], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'exit')
  const lines: string[] = []
  const waiting = new Set<(line: string) => void>()
  let complaint = ''
  child.stderr?.on('data', chunk => {
    complaint = (complaint + chunk).slice(-2000)
  })
  // Colours and cursor moves of the console say nothing here.
  createInterface({ input: child.stdout! }).on('line', raw => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
    const line = raw.replace(/\x1b\[[0-9;?]*[A-Za-z]|\r/g, '')
    lines.push(line)
    options.onLine(line)
    for (const each of [...waiting]) each(line)
  })
  return {
    line: (what, ms) =>
      new Promise((resolve, reject) => {
        const there = lines.find(line => what.test(line))
        if (there !== undefined) return resolve(there)
        const timer = setTimeout(
          () => done(() => reject(new Error(`waited ${ms / 1000} s for ${what}; last: ${lines.slice(-5).join(' | ')}`))),
          ms,
        )
        const onEnd = (): void => done(() => reject(new Error(`the board ended: ${complaint}`)))
        const look = (line: string): void => {
          if (what.test(line)) done(() => resolve(line))
        }
        const done = (settle: () => void): void => {
          clearTimeout(timer)
          waiting.delete(look)
          child.off('exit', onEnd)
          settle()
        }
        waiting.add(look)
        child.once('exit', onEnd)
      }),
    async reset() {
      await control(socket, 'system_reset')
      lines.length = 0
    },
    async off() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
