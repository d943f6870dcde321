// One emulated board: a qemu process whose serial console is read line by line. Cutting its power is SIGKILL of that process.

import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { systemClock } from '../../src/host/clock.ts'

export interface BoardOptions {
  readonly kernel: string
  readonly initramfs: string
  readonly disk: string
  /** What the guest's check program is to do, `STAGE` in its environment. */
  readonly stage: string
  /** Program the initramfs hands over to; the image's own start script when left out. */
  readonly init?: string
  /** More words for the kernel. */
  readonly append?: string
  /** `1970-01-02`; the host's time when left out. */
  readonly clock?: string
  readonly timeoutMs: number
  /** Every line of the console; `cut` cuts the power. */
  onLine(line: string, cut: () => void): void
}

export type BoardEnd = 'off' | 'cut' | 'timeout'

export const QEMU = { x64: 'qemu-system-x86_64', arm64: 'qemu-system-aarch64' }[process.arch as string] ?? 'qemu-system-x86_64'

/** Software emulation unless asked otherwise: it is the same everywhere, where nested virtualisation is there and works only now and then. */
export const accelerator = (): 'kvm' | 'tcg' => (process.env['HELIO_IMAGE_ACCEL'] === 'kvm' ? 'kvm' : 'tcg')

const arguments_ = (options: BoardOptions): readonly string[] => [
  ...[
    '-accel',
    accelerator() === 'kvm' ? 'kvm' : 'tcg,thread=multi',
    '-cpu',
    'max',
    '-smp',
    '2',
    '-m',
    '1536',
    '-no-reboot',
    '-nic',
    'none',
  ],
  ...(process.arch === 'arm64' ? ['-machine', 'virt'] : []),
  ...['-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-device', 'virtio-rng-pci'],
  ...['-drive', `file=${options.disk},format=raw,if=virtio,cache=unsafe`],
  ...['-kernel', options.kernel, '-initrd', options.initramfs],
  ...(options.clock === undefined ? [] : ['-rtc', `base=${options.clock}`]),
  '-append',
  `console=${process.arch === 'arm64' ? 'ttyAMA0' : 'ttyS0'} quiet loglevel=3 panic=-1 stage=${options.stage}${options.init === undefined ? '' : ` next=${options.init}`}${options.append === undefined ? '' : ` ${options.append}`}`,
]

const ended = (child: ChildProcess): Promise<void> => new Promise(resolve => child.once('close', () => resolve()))

/** Runs a board until it switches itself off, is cut, or takes too long. */
export const runBoard = async (options: BoardOptions): Promise<BoardEnd> => {
  const child = spawn(QEMU, arguments_(options), { stdio: ['ignore', 'pipe', 'inherit'] })
  const state: { end: BoardEnd } = { end: 'off' }
  const cut = (end: BoardEnd): void => {
    state.end = end
    child.kill('SIGKILL')
  }
  const stopped = (): never => {
    child.kill('SIGKILL')
    process.exit(143)
  }
  process.once('SIGTERM', stopped)
  const cancel = systemClock.after(options.timeoutMs, () => cut('timeout'))
  createInterface({ input: child.stdout }).on('line', raw => {
    options.onLine(raw.replace(/\r$/, ''), () => cut('cut'))
  })
  await ended(child)
  cancel()
  process.off('SIGTERM', stopped)
  return state.end
}
