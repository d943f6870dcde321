// usage: node test/image/cgroup2.ts [STAGE…]: the built product on an emulated board with pure cgroup v2, through power cuts, a cold boot without
// a server, a clock in 1970 and systemd. Prints `N passed, N failed`. Skips aloud where qemu or a kernel cannot be had.

import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeImage } from '../../scripts/oci-image.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemExec } from '../../src/host/exec.ts'
import { buildRoot, hasSystemd, isStatic, PROGRAMS, writeDisk, writeInitramfs } from './disk.ts'
import { findKernel, type Kernel } from './kernel.ts'
import { accelerator, type BoardEnd, QEMU, runBoard } from './machine.ts'

const project = join(import.meta.dirname, '../..')
/** The whole run; a board that is still on by then is cut off and counts as failed. */
const TOTAL_MS = 25 * 60_000
interface Tally {
  passed: number
  failed: number
}

const skip = (why: string): never => {
  console.log(`SKIPPED: the image test did not run: ${why}`)
  console.log('0 passed, 0 failed, 1 skipped')
  process.exit(0)
}

const kernelOrSkip = (cache: string): Kernel => {
  try {
    return findKernel(cache)
  } catch (error) {
    return skip(`no kernel: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`)
  }
}

const checkTools = (): void => {
  const missing = [QEMU, 'mke2fs', 'ldd', ...PROGRAMS].filter(name => systemExec.find(name) === undefined)
  if (missing.length > 0)
    skip(`missing ${missing.join(', ')} (apt-get install qemu-system-x86 e2fsprogs crun conmon nftables iproute2 busybox-static)`)
  if (!isStatic(systemExec.find('busybox') ?? '')) skip('busybox is not static (apt-get install busybox-static)')
  if (!existsSync(join(project, 'dist/helio'))) skip('dist/helio is missing (npm run build)')
}

interface Stage {
  readonly name: string
  readonly stage: string
  readonly init?: string
  readonly clock?: string
  /** More words for the kernel. */
  readonly append?: string
  /** Ends by a cut of the power at the guest's word. */
  readonly cut?: boolean
}

const STAGES: readonly Stage[] = [
  { name: 'first boot', stage: 'first', cut: true },
  { name: 'power cut while the first sandbox is made', stage: 'cut-sandbox', cut: true },
  { name: 'power cut while the first container is mounted', stage: 'cut-mount', cut: true },
  { name: 'power cut while the first container starts', stage: 'cut-process', cut: true },
  { name: 'cold boot without a server', stage: 'cold' },
  { name: 'clock in 1970', stage: 'clock', clock: '1970-01-02' },
  { name: 'kernel without the memory controller', stage: 'no-memory', append: 'cgroup_disable=memory' },
  { name: 'installed under systemd, then a reboot', stage: 'systemd', init: '/lib/systemd/systemd' },
  { name: 'after the reboot, and uninstalled', stage: 'uninstall', init: '/lib/systemd/systemd' },
]

/** One boot; counts the verdicts of its console. */
const runStage = async (
  stage: Stage,
  tally: Tally,
  files: { kernel: Kernel; initramfs: string; disk: string },
  leftMs: number,
): Promise<void> => {
  const started = systemClock.mono()
  const seen = { end: false }
  console.log(`--- ${stage.name}`)
  const end: BoardEnd = await runBoard({
    kernel: files.kernel.image,
    initramfs: files.initramfs,
    disk: files.disk,
    stage: stage.stage,
    ...(stage.init === undefined ? {} : { init: stage.init }),
    ...(stage.append === undefined ? {} : { append: stage.append }),
    ...(stage.clock === undefined ? {} : { clock: stage.clock }),
    timeoutMs: Math.max(1, leftMs),
    onLine(line, cut) {
      console.log(`  ${line}`)
      if (line.startsWith('PASS ')) tally.passed++
      if (line.startsWith('FAIL ')) tally.failed++
      if (line.startsWith('END ')) seen.end = true
      if (line === 'CUT') cut()
    },
  })
  const whole = stage.cut === true ? end === 'cut' && !seen.end : end === 'off' && seen.end
  if (whole) tally.passed++
  else tally.failed++
  console.log(`${whole ? 'PASS' : 'FAIL'} ${stage.name}: ended ${end} after ${Math.round((systemClock.mono() - started) / 100) / 10} s`)
}

const main = async (): Promise<number> => {
  checkTools()
  const started = systemClock.mono()
  const cache = join(tmpdir(), 'helio-image-cache')
  mkdirSync(cache, { recursive: true })
  const kernel = kernelOrSkip(cache)
  const work = mkdtempSync(join(tmpdir(), 'helio-image-'))
  try {
    await writeImage(join(work, 'hello.tar'), { name: 'heliopause.local/hello:1', cmd: ['/bin/httpd', '-f', '-p', '8080', '-h', '/www'] })
    buildRoot(join(work, 'root'), kernel, join(work, 'hello.tar'))
    const files = { kernel, initramfs: join(work, 'initramfs'), disk: join(work, 'disk') }
    writeDisk(files.disk, join(work, 'root'))
    writeInitramfs(files.initramfs, join(work, 'early'), kernel)
    console.log(`kernel ${kernel.release}, ${accelerator()}, image made in ${Math.round(systemClock.mono() - started)} ms`)
    const tally: Tally = { passed: 0, failed: 0 }
    const only = process.argv.slice(2)
    for (const stage of STAGES.filter(each => only.length === 0 || only.includes(each.stage))) {
      if (stage.init !== undefined && !hasSystemd()) console.log(`SKIPPED: ${stage.name}: not installed here`)
      else await runStage(stage, tally, files, TOTAL_MS - (systemClock.mono() - started))
    }
    console.log(`${tally.passed} passed, ${tally.failed} failed`)
    return tally.failed === 0 ? 0 : 1
  } finally {
    if (process.env['HELIO_IMAGE_KEEP'] === undefined) rmSync(work, { recursive: true, force: true })
    else console.log(`kept ${work}`)
  }
}

process.exitCode = await main()
