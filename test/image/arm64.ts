// usage: node test/image/arm64.ts [STAGE…]: a Debian for arm64, flashed by scripts/flash with the packaged executable, booted in an emulated
// board: joins a server on this machine and runs containers of a pre-loaded image; the same with no network; the reset button pressed again
// and again during the first boot. Prints `N passed, N failed`. Skips aloud where something is missing. HELIO_ARM64 names the executable.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeImage } from '../../scripts/oci-image.ts'
import { seededRandom } from '../../src/base/random.ts'
import { systemClock } from '../../src/host/clock.ts'
import { Client } from '../e2e/client.ts'
import { freePort, helio, type Running, startServer } from '../e2e/cluster.ts'
import { waitUntil } from '../e2e/waiting.ts'
import { type Arm64Base, makeBase, ROOT_BYTES, ROOT_OFFSET } from './arm64-base.ts'
import { type Board, HOST, QEMU, startBoard } from './arm64-board.ts'
import { call, flash, have } from './flash-base.ts'

const project = join(import.meta.dirname, '../..')
const EXECUTABLE = process.env['HELIO_ARM64'] ?? join(project, 'build/helio-linux-arm64')
const CACHE = join(project, 'build/cache')
/** Software emulation on a machine that has other things to do. */
const BOOT_MS = 900_000
const RESETS = Number(process.env['HELIO_RESETS'] ?? 5)
/** Lines of the console from which the reset is counted, in turn: the agent begins, looks after pods, has its server. */
const MOMENTS = [/Starting heliopause-agent/, /pre-loaded pods run|link up/, /joined|link up/]
const RESET_MS_MAX = 15_000
const TOOLS = [
  QEMU,
  'debootstrap',
  'qemu-aarch64-static',
  'mke2fs',
  'e2fsck',
  'debugfs',
  'sfdisk',
  'mkfs.vfat',
  'mcopy',
  'unshare',
  'losetup',
]
const PACKAGES = 'qemu-system-arm debootstrap qemu-user-static e2fsprogs fdisk dosfstools mtools'

const tally = { passed: 0, failed: 0 }
const check = async (what: string, work: () => Promise<unknown> | unknown): Promise<void> => {
  const started = systemClock.mono()
  const after = (): string => `${Math.round((systemClock.mono() - started) / 100) / 10} s`
  try {
    await work()
    tally.passed++
    console.log(`PASS ${what} (${after()})`)
  } catch (error) {
    tally.failed++
    console.log(`FAIL ${what} (${after()}): ${error instanceof Error ? error.message : String(error)}`)
    throw error
  }
}
const equal = (found: unknown, wanted: unknown, what: string): void => {
  if (found !== wanted) throw new Error(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`)
}

/** Tells the boot's id and the machine in a file of the board, and goes on running. */
const POD = `apiVersion: v1
kind: Pod
metadata: {name: preloaded}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: heliopause.local/board:1
    command: [sh, -c, 'echo "$(cat /proc/sys/kernel/random/boot_id) preloaded $(uname -m) $(cat /etc/who)" >> /marks/ran; exec sleep 1000000']
    volumeMounts: [{name: marks, mountPath: /marks}]
  volumes: [{name: marks, hostPath: {path: /var/lib/marks, type: DirectoryOrCreate}}]
`
const podOf = (node: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: node, namespace: 'default' },
  spec: {
    nodeName: node,
    terminationGracePeriodSeconds: 1,
    containers: [
      { name: 'main', image: 'heliopause.local/board:1', command: ['sh', '-c', 'echo "ordered on $(uname -m)"; exec sleep 1000000'] },
    ],
  },
})

interface World {
  readonly dir: string
  readonly base: Arm64Base
  readonly server: Running
  /** Opened anew where the server has ended a session that was idle. */
  client: Client
  readonly token: string
  readonly port: number
}

const ask = async (world: World, method: string, path: string, body?: unknown): ReturnType<Client['request']> => {
  if (world.client.closed) world.client = await Client.open(join(world.dir, 'server/kubeconfig'))
  return world.client.request(method, path, body)
}

const makeBoardImage = async (world: World, name: string): Promise<string> => {
  const out = join(world.dir, `${name}.img`)
  const { code, stdout, stderr } = await flash([
    ...[world.base.disk, '--output', out, '--helio', EXECUTABLE],
    ...[
      '--node-name',
      name,
      '--site',
      'emulator',
      '--label',
      'stage=image-test',
      '--server',
      `https://${HOST}:${world.port}`,
      '--token',
      world.token,
    ],
    ...['--image-archive', join(world.dir, 'board.tar'), '--manifest', join(world.dir, 'pod.yaml')],
  ])
  for (const line of stdout.trim().split('\n')) console.log(`  flash: ${line}`)
  equal(code, 0, `scripts/flash: ${stderr}`)
  return out
}

const interesting = /WITNESS|"level":"(error|info)"|Kernel panic|Linux version|heliopause|helio|fsck/
const switchOn = (world: World, disk: string, network: boolean): Board =>
  startBoard({
    ...world.base,
    dir: world.dir,
    disk,
    network,
    onLine(line) {
      if (interesting.test(line)) console.log(`  board: ${line.trim().slice(0, 300)}`)
    },
  })

const nodeOf = async (world: World, name: string) => {
  const { status, json } = await ask(world, 'GET', `/api/v1/nodes/${name}`)
  return status === 200
    ? (json as { metadata: { labels: Record<string, string> }; status?: { conditions?: { type: string; status: string }[] } })
    : undefined
}

const isReady = async (world: World, name: string): Promise<boolean> =>
  (await nodeOf(world, name))?.status?.conditions?.some(each => each.type === 'Ready' && each.status === 'True') ?? false

const checkJoined = async (world: World, name: string): Promise<void> => {
  await check('the board joins the server over its network', () => waitUntil('the node is ready', () => isReady(world, name), BOOT_MS))
  await check('its node has the labels of the seed', async () => {
    const labels = (await nodeOf(world, name))?.metadata.labels
    equal(labels?.['stage'], 'image-test', 'label stage')
    equal(labels?.['topology.kubernetes.io/zone'], 'emulator', 'zone')
    equal(labels?.['kubernetes.io/arch'], 'arm64', 'arch')
  })
}

/** What the next boot would put right by itself (journal, files deleted while open) is put right; then nothing may be wrong. */
const checkFileSystem = (disk: string): void => {
  // Given an offset, e2fsck loses it when it opens the file anew behind the journal: a loop device has it for good.
  const device = call('losetup', ['--find', '--show', '--offset', String(ROOT_OFFSET), '--sizelimit', String(ROOT_BYTES), disk]).trim()
  try {
    const { status, stdout, stderr } = spawnSync('e2fsck', ['-f', '-p', device], { encoding: 'utf8' })
    if (status === null || status > 1) throw new Error(`e2fsck ended with ${status}: ${stdout} ${stderr}`)
    call('e2fsck', ['-f', '-n', device])
  } finally {
    call('losetup', ['--detach', device])
  }
}

/** The first document of a server takes the place of what was pre-loaded; this is what it asks for. */
const checkOrdered = (world: World, node: string): Promise<void> =>
  check('a pod of the server runs from the pre-loaded image', async () => {
    const pods = '/api/v1/namespaces/default/pods'
    equal((await ask(world, 'POST', pods, podOf(node))).status, 201, 'created')
    const phase = async (): Promise<unknown> =>
      ((await ask(world, 'GET', `${pods}/${node}`)).json as { status?: { phase?: string } }).status?.phase
    await waitUntil('it runs', async () => (await phase()) === 'Running', BOOT_MS)
  })

const joins = async (world: World): Promise<void> => {
  const disk = await makeBoardImage(world, 'joins')
  const board = switchOn(world, disk, true)
  try {
    await checkJoined(world, 'joins')
    await checkOrdered(world, 'joins')
    await check('its log comes over the link', async () => {
      await waitUntil('the log', async () => {
        const { stdout } = await helio('logs', 'joins', '--kubeconfig', join(world.dir, 'server/kubeconfig'))
        return stdout === 'ordered on aarch64\n'
      })
    })
    await check('the token on the boot partition is gone', () => board.line(/token in the seed overwritten/, BOOT_MS))
  } finally {
    await board.off()
  }
}

const alone = async (world: World): Promise<void> => {
  const disk = await makeBoardImage(world, 'alone')
  const first = switchOn(world, disk, false)
  try {
    await check('with no network the pre-loaded pod runs', () => first.line(/WITNESS \S+ preloaded aarch64 board/, BOOT_MS))
  } finally {
    await first.off()
  }
  const second = switchOn(world, disk, false)
  try {
    await check('and again after a power cut', () => second.line(/WITNESS \S+ preloaded aarch64 board/, BOOT_MS))
  } finally {
    await second.off()
  }
  await check('its file system is sound', () => checkFileSystem(disk))
}

const resets = async (world: World): Promise<void> => {
  const disk = await makeBoardImage(world, 'resets')
  const seed = process.env['HELIO_DRAW'] ?? 'arm64'
  const random = seededRandom(seed)
  console.log(`  resets: seed ${seed}`)
  const board = switchOn(world, disk, true)
  try {
    for (let n = 1; n <= RESETS; n++)
      await check(`reset ${n} of ${RESETS} during the first boot`, async () => {
        await board.line(MOMENTS[(n - 1) % MOMENTS.length]!, BOOT_MS)
        const afterMs = random.int(RESET_MS_MAX)
        await systemClock.sleep(afterMs)
        console.log(`  reset ${afterMs} ms after ${MOMENTS[(n - 1) % MOMENTS.length]}`)
        await board.reset()
      })
    await checkJoined(world, 'resets')
    await checkOrdered(world, 'resets')
  } finally {
    await board.off()
  }
  await check('its file system is sound', () => checkFileSystem(disk))
}

const STAGES: Readonly<Record<string, (world: World) => Promise<void>>> = { joins, alone, resets }

const run = async (dir: string): Promise<void> => {
  const base = await makeBase(CACHE)
  await writeImage(join(dir, 'board.tar'), {
    name: 'heliopause.local/board:1',
    files: [{ path: 'etc/who', text: 'board\n' }],
    board: { architecture: 'arm64', busybox: join(base.root, 'bin/busybox') },
  })
  writeFileSync(join(dir, 'pod.yaml'), POD)
  const port = await freePort()
  const server = await startServer(join(dir, 'server'), port, '--no-agent', '--cluster-cidr', '10.226.0.0/16')
  const token = readFileSync(join(dir, 'server/join-token'), 'utf8').trim()
  const client = await Client.open(join(dir, 'server/kubeconfig'))
  const world: World = { dir, base, server, client, token, port }
  const only = process.argv.slice(2)
  try {
    for (const [name, stage] of Object.entries(STAGES)) {
      if (only.length > 0 && !only.includes(name)) continue
      console.log(`--- ${name}`)
      // What failed is counted and told; the other stages stand by themselves.
      await stage(world).catch((error: unknown) =>
        console.log(`  ${name} ended early: ${error instanceof Error ? error.message : String(error)}`),
      )
    }
  } finally {
    world.client.close()
    await server.stop()
  }
}

const main = async (): Promise<void> => {
  const missing = TOOLS.filter(name => !have(name))
  const why =
    process.getuid?.() !== 0
      ? 'not root'
      : missing.length > 0
        ? `missing ${missing.join(', ')} (apt-get install ${PACKAGES})`
        : existsSync(EXECUTABLE)
          ? undefined
          : `no ${EXECUTABLE} (npm run package -- --target linux-arm64)`
  if (why !== undefined) {
    console.log(`SKIPPED: the arm64 board was not booted: ${why}\n0 passed, 0 failed, 1 skipped`)
    return
  }
  const dir = mkdtempSync(join(tmpdir(), 'helio-arm64-'))
  const started = systemClock.mono()
  try {
    await run(dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
  console.log(`${tally.passed} passed, ${tally.failed} failed, ${Math.round((systemClock.mono() - started) / 1000)} s`)
  if (tally.failed > 0) process.exitCode = 1
}

await main()
