// scripts/flash on every form of base image: what is written, what is refused before a byte is, and what is left when it is cut off.

import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { parseSeed } from '../../src/agent/seed.ts'
import {
  BOOT_OFFSET,
  call,
  damage,
  fakeProgram,
  flash,
  have,
  leftBehind,
  makeDisk,
  makeExt4,
  makeRoot,
  ROOT_OFFSET,
  readExt4,
} from './flash-base.ts'

const TOKEN = `helio1.${'ab'.repeat(32)}.sekrit`
const POD = 'apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: main, image: "heliopause.local/hello:1"}]}\n'
const FOREIGN = process.arch === 'arm64' ? 0x3e : 0xb7
const STATE = '/var/lib/heliopause'

const missing = ['mke2fs', 'sfdisk', 'mkfs.vfat', 'mcopy', 'debugfs', 'losetup', 'busybox'].filter(name => !have(name))
const skip = process.getuid?.() !== 0 ? 'not root' : missing.length > 0 ? `missing ${missing.join(', ')}` : false
if (skip) t.comment(`SKIPPED LOUDLY: images are not flashed: ${skip} (apt-get install e2fsprogs fdisk dosfstools mtools busybox-static)`)

const dir = mkdtempSync(join(tmpdir(), 'helio-flash-test-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
t.setTimeout(300_000)

const at = (name: string): string => join(dir, name)
const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')
const files = { helio: '', image: '', pod: '' }

t.before(async () => {
  if (skip) return
  files.helio = fakeProgram(at('helio'))
  files.image = at('hello.tar')
  await writeImage(files.image, { name: 'heliopause.local/hello:1' })
  files.pod = at('pod.yaml')
  writeFileSync(files.pod, POD)
  makeRoot(at('root'))
  makeRoot(at('root-with-boot'), { boot: true })
})
const payload = (): string[] => [
  ...['--helio', files.helio, '--image-archive', files.image, '--manifest', files.pod],
  ...['--node-name', 'tower-1', '--site', 'north', '--label', 'rack=3', '--server', 'https://192.0.2.1:6443', '--token', TOKEN],
]
const seedSays = async (t: { match(found: object, wanted: object): unknown; not(a: unknown, b: unknown): unknown }, text: string) => {
  const seed = await parseSeed(text, 'seed')
  t.match(seed, { nodeName: 'tower-1', labels: { rack: '3', 'heliopause.io/site': 'north' }, server: 'https://192.0.2.1:6443' })
  t.not(seed.token, TOKEN)
}

t.test('a bare ext4 image gets program, service, seed, images and manifests; the base stays as it was', { skip }, async t => {
  const base = makeExt4(at('bare.img'), at('root'))
  const before = digest(base)
  const { code, stdout, stderr } = await flash([base, '--output', at('bare.out'), ...payload()])
  t.equal(code, 0, stderr)
  t.match(stdout, /entries verified, file system sound/)
  t.equal(digest(base), before)
  await seedSays(t, readExt4(at('bare.out'), '/etc/heliopause/heliopause-seed.yaml'))
  t.equal(readExt4(at('bare.out'), `${STATE}/preload/pod.yaml`), POD)
  t.match(readExt4(at('bare.out'), `${STATE}/images/index.json`), 'heliopause.local/hello:1')
  t.match(readExt4(at('bare.out'), '/etc/systemd/system/heliopause-agent.service'), 'ExecStart=/usr/local/bin/helio agent')
  t.match(readExt4(at('bare.out'), `${STATE}/slots/current`), /^[ab]\n$/)
  t.notOk(existsSync(at('bare.out.part')))
  t.equal(leftBehind().trim(), '')
})

for (const label of ['dos', 'gpt'] as const)
  t.test(`a disk with a ${label} table gets its seed onto the boot partition`, { skip }, async t => {
    const base = makeDisk(at(`${label}.img`), at('root-with-boot'), label)
    const out = at(`${label}.out`)
    const { code, stderr } = await flash([base, '--output', out, ...payload()])
    t.equal(code, 0, stderr)
    await seedSays(t, call('mtype', ['-i', `${out}@@${BOOT_OFFSET}`, '::heliopause-seed.yaml']))
    t.equal(readExt4(out, '/etc/heliopause/heliopause-seed.yaml', ROOT_OFFSET), '', 'and nowhere else')
    t.equal(readExt4(out, `${STATE}/preload/pod.yaml`, ROOT_OFFSET), POD)
    const again = await flash(['seed-to', out, '--node-name', 'tower-2', '--server', 'https://192.0.2.2:6443', '--token', TOKEN])
    t.equal(again.code, 0, again.stderr)
    t.match(call('mtype', ['-i', `${out}@@${BOOT_OFFSET}`, '::heliopause-seed.yaml']), 'tower-2')
  })

t.test('a configuration of edge-configs goes in, with the server that was named; two that differ are refused', { skip }, async t => {
  const config = join(import.meta.dirname, '../../edge-configs/cell-tower')
  const args = [at('root'), '--helio', files.helio, '--config', config, '--node-name', 'tower-1']
  const { code, stderr } = await flash([...args, '--output', at('config.out'), '--server', 'https://192.0.2.99:6443'])
  t.equal(code, 0, stderr)
  const written = readFileSync(at('config.out/etc/heliopause/agent.yaml'), 'utf8')
  t.match(written, /^server: https:\/\/192\.0\.2\.99:6443$/m)
  t.match(written, /^# The server in the hut/m, 'comments stay')
  writeFileSync(at('other.yaml'), 'apiVersion: heliopause.io/v1\nkind: DeviceSeed\nserver: https://192.0.2.98:6443\n')
  const refused = await flash([
    at('root'),
    '--helio',
    files.helio,
    '--config',
    config,
    '--seed',
    at('other.yaml'),
    '--output',
    at('config2.out'),
  ])
  t.match(refused.stderr, /server is https:\/\/192\.0\.2\.98:6443 in the seed, https:\/\/192\.0\.2\.1:6443 in/)
  t.notOk(existsSync(at('config2.out')))
})

t.test('a disk that holds a base image is flashed in place', { skip }, async t => {
  const base = makeDisk(at('in-place.img'), at('root-with-boot'), 'dos')
  const disk = call('losetup', ['--find', '--show', base]).trim()
  t.teardown(() => call('losetup', ['--detach', disk]))
  const { code, stderr } = await flash([disk, ...payload()], { input: `${disk}\n` })
  t.equal(code, 0, stderr)
  t.match(call('mtype', ['-i', `${base}@@${BOOT_OFFSET}`, '::heliopause-seed.yaml']), 'tower-1')
  t.equal(readExt4(base, `${STATE}/preload/pod.yaml`, ROOT_OFFSET), POD)
})

t.test('a folder is copied and filled without an image', { skip }, async t => {
  const { code, stderr } = await flash([at('root'), '--output', at('folder.out'), ...payload()])
  t.equal(code, 0, stderr)
  await seedSays(t, readFileSync(at('folder.out/etc/heliopause/heliopause-seed.yaml'), 'utf8'))
  t.equal(statSync(at('folder.out/etc/heliopause/heliopause-seed.yaml')).mode & 0o777, 0o600)
  t.notOk(existsSync(at('root/etc/heliopause')), 'the base has nothing of it')
})

t.test('what does not fit is refused before anything is written', { skip }, async t => {
  const base = makeExt4(at('base.img'), at('root'))
  const foreign = fakeProgram(at('helio-foreign'), FOREIGN)
  makeRoot(at('root-foreign'))
  fakeProgram(at('root-foreign/usr/lib/systemd/systemd'), FOREIGN)
  await writeImage(at('foreign.tar'), { name: 'x:1', board: { architecture: 's390x', busybox: files.helio } })
  if (have('skopeo')) call('skopeo', ['copy', '-q', `oci-archive:${at('foreign.tar')}`, `docker-archive:${at('foreign-docker.tar')}:x:1`])
  writeFileSync(at('empty.img'), Buffer.alloc(2 * 1024 * 1024))
  writeFileSync(at('bad.yaml'), POD.replace('name: web', 'name: Web'))
  writeFileSync(at('deployment.yaml'), 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n')
  const broken = makeDisk(at('broken.img'), at('root-with-boot'), 'gpt')
  damage(broken, 512 + 40)
  const cut = makeDisk(at('cut.img'), at('root-with-boot'), 'dos')
  call('truncate', ['-s', '100M', cut])
  writeFileSync(at('taken.img'), 'mine')
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['a program of another machine', [base, '--output', at('no.img'), '--helio', foreign], /it is for linux-\w+, the board is linux-/],
    ['a board of another machine', [at('root-foreign'), '--output', at('no.img'), '--helio', files.helio], /the board is linux-/],
    [
      'an image for another machine',
      [base, '--output', at('no.img'), '--helio', files.helio, '--image-archive', at('foreign.tar')],
      /it is for s390x/,
    ],
    ...(have('skopeo')
      ? [
          [
            'a Docker archive for another machine',
            [base, '--output', at('no.img'), '--helio', files.helio, '--image-archive', at('foreign-docker.tar')],
            /it is for s390x/,
          ] as const,
        ]
      : []),
    ['no program', [base, '--output', at('no.img'), '--helio', files.pod], /no packaged executable/],
    ['an image without a system', [at('empty.img'), '--output', at('no.img')], /neither a partition table nor an ext4/],
    ['a damaged table', [broken, '--output', at('no.img')], /checksum of the GPT is wrong/],
    ['an image cut short', [cut, '--output', at('no.img')], /partition 2 leads outside/],
    [
      'a manifest the device would refuse',
      [base, '--output', at('no.img'), ...payload(), '--manifest', at('bad.yaml')],
      /Pod Web: metadata\.name/,
    ],
    [
      'a kind that needs a server',
      [base, '--output', at('no.img'), ...payload(), '--manifest', at('deployment.yaml')],
      /only Pod, ConfigMap/,
    ],
    ['a name that is none', [base, '--output', at('no.img'), '--helio', files.helio, '--node-name', 'Tower_1'], /not a node name/],
    ['a reserved label', [base, '--output', at('no.img'), '--helio', files.helio, '--label', 'kubernetes.io/x=y'], /reserved/],
    ['an output that is there', [base, '--output', at('taken.img'), ...payload()], /is there already/],
    ['no output', [base, ...payload()], /where to/],
  ]
  for (const [what, args, expected] of cases) {
    const { code, stderr } = await flash(args)
    t.match(stderr, expected, what)
    t.not(code, 0, what)
    t.match(stderr, /^error: [^\n]+\n(hint: [^\n]+\n)?$/, `${what}: one line and a hint`)
  }
  t.equal(readFileSync(at('taken.img'), 'utf8'), 'mine')
  t.strictSame(
    readdirSync(dir).filter(name => name.startsWith('no.img') || name.endsWith('.part')),
    [],
  )
  t.equal(leftBehind().trim(), '')
})

t.test('a full image is refused before it is copied', { skip }, async t => {
  const base = makeExt4(at('full.img'), at('root'), 24 * 1024 * 1024)
  const { code, stderr } = await flash([base, '--output', at('full.out'), ...payload()])
  t.equal(code, 1)
  t.match(stderr, /MB free, \d+ MB are needed/)
  t.notOk(existsSync(at('full.out')) || existsSync(at('full.out.part')))
})

t.test('--dry-run checks everything and writes nothing', { skip }, async t => {
  const base = makeExt4(at('dry.img'), at('root'))
  const { code, stdout } = await flash([base, '--output', at('dry.out'), '--dry-run', ...payload()])
  t.equal(code, 0)
  t.match(stdout, /dry run: nothing was written/)
  t.notOk(existsSync(at('dry.out')) || existsSync(at('dry.out.part')))
})

t.test('cut off in the middle it leaves no output, no mount and no loop device', { skip }, async t => {
  const base = makeExt4(at('cut-base.img'), at('root'))
  const before = digest(base)
  const stopped = await flash([base, '--output', at('cut.out'), ...payload()], { stopAt: 'service are written' })
  t.not(stopped.code, 0)
  t.match(stopped.stderr, /stopped by SIGTERM/)
  t.notOk(existsSync(at('cut.out')) || existsSync(at('cut.out.part')))
  await flash([base, '--output', at('cut.out'), ...payload()], { stopAt: 'service are written', signal: 'SIGKILL' })
  t.notOk(existsSync(at('cut.out')), 'what kill -9 leaves is not called complete')
  t.equal(digest(base), before)
  const again = await flash([base, '--output', at('cut.out'), ...payload()])
  t.equal(again.code, 0, again.stderr)
  t.equal(leftBehind().trim(), '')
})

t.test('a disk is written only when its name was typed, and read back', { skip }, async t => {
  const base = makeDisk(at('for-disk.img'), at('root-with-boot'), 'gpt')
  writeFileSync(at('backing'), '')
  call('truncate', ['-s', '256M', at('backing')])
  const disk = call('losetup', ['--find', '--show', at('backing')]).trim()
  t.teardown(() => call('losetup', ['--detach', disk]))
  const untouched = digest(at('backing'))
  for (const input of ['', 'y\n', '/dev/sda\n']) {
    const refused = await flash([base, '--output', disk, ...payload()], { input })
    t.match(refused.stderr, /its name was not typed/)
    t.match(refused.stdout, new RegExp(`${disk}: .*0\\.3 GB`), 'the disk is named with its size')
  }
  t.equal(digest(at('backing')), untouched)
  const { code, stdout, stderr } = await flash([base, '--output', disk, ...payload()], { input: `${disk}\n` })
  t.equal(code, 0, stderr)
  t.match(stdout, /written to .* and read back in/)
  t.match(call('mtype', ['-i', `${at('backing')}@@${BOOT_OFFSET}`, '::heliopause-seed.yaml']), 'tower-1')
  const small = makeExt4(at('too-large.img'), at('root'), 300 * 1024 * 1024)
  const tooLarge = await flash([small, '--output', disk, '--yes', ...payload()])
  t.match(tooLarge.stderr, /the image has 0\.3 GB, the disk 0\.3 GB/)
})

t.test('a disk in use is refused, --yes or not', { skip }, async t => {
  const image = makeExt4(at('mounted.img'), at('root'))
  const disk = call('losetup', ['--find', '--show', image]).trim()
  t.teardown(() => call('losetup', ['--detach', disk]))
  const point = mkdtempSync(join(tmpdir(), 'helio-mounted-'))
  call('mount', ['-o', 'ro', disk, point])
  t.teardown(() => call('umount', [point]))
  const { code, stderr } = await flash([image, '--output', disk, '--yes', ...payload()])
  t.equal(code, 1)
  t.match(stderr, /it is mounted on/)
  const own = readFileSync('/proc/self/mounts', 'utf8').match(/^(\/dev\/\S+) \/ /m)?.[1]
  if (own !== undefined && existsSync(own))
    t.match((await flash([image, '--output', own, '--yes', ...payload()])).stderr, /this system runs from it|a partition/)
})
