import t from 'tap'
import { environment, limitFiles, losses, type ProcessFacts, refusal, superviseWords } from '../../../src/runtime/process-command.ts'
import type { ContainerSpec } from '../../../src/runtime/runtime.ts'

const tools = {
  sh: '/bin/sh',
  mv: '/bin/mv',
  setsid: '/s/setsid',
  setpriv: '/s/setpriv',
  unshare: '/s/unshare',
  mount: '/s/mount',
  chroot: '/s/chroot',
}
const asRoot: ProcessFacts = { root: true, uid: 0, gid: 0, ...tools, userNamespaces: false, cgroups: true }
const asUser: ProcessFacts = { ...asRoot, root: false, uid: 1000, gid: 1000, cgroups: false }
const CHROOT = ['SYS_CHROOT', 'SETUID', 'SETGID']
const spec = (change: Partial<ContainerSpec> = {}): ContainerSpec => ({
  ...{ podUid: 'u', namespace: 'ns', podName: 'pod', name: 'c', attempt: 0, init: false, image: 'i', imageID: 'd', layers: ['/l'] },
  ...{
    args: ['run', '$(x)'],
    env: [],
    cwd: '/',
    uid: 0,
    gid: 0,
    supplementalGroups: [],
    mounts: [],
    readOnlyRootfs: false,
    privileged: false,
  },
  ...{
    allowPrivilegeEscalation: true,
    capabilities: CHROOT,
    seccomp: 'Unconfined',
    resources: {},
    tty: false,
    logPath: '/log',
    hostname: 'pod',
  },
  ...change,
})
const plan = { exitFile: '/e', pidFile: '/p', stdout: '/o', stderr: '/x', groups: ['/g/cgroup.procs'], monitorGroups: [], mounts: [] }

t.test('broken promises of security are refused, each with its way out', async t => {
  t.equal(refusal(spec(), asRoot), undefined)
  t.match(refusal(spec({ readOnlyRootfs: true }), asUser), /needs an image, and root or user namespaces/)
  t.match(refusal(spec({ uid: 7 }), asUser), /user 7 needs root/)
  t.equal(refusal(spec({ uid: 1000 }), asUser), undefined)
  const { setpriv: _, ...bare } = asRoot
  t.match(refusal(spec({ allowPrivilegeEscalation: false }), bare), /needs setpriv/)
  t.match(refusal(spec({ capabilities: [] }), asRoot), /cannot be taken from root/)
  t.equal(refusal(spec({ capabilities: [], uid: 5, allowPrivilegeEscalation: false }), asRoot), undefined)
})

t.test('a user who may make user namespaces keeps the image, as its own root and nobody else', async t => {
  const inNamespace: ProcessFacts = { ...asUser, userNamespaces: true }
  t.equal(refusal(spec({ capabilities: [], readOnlyRootfs: true }), inNamespace), undefined)
  t.match(refusal(spec({ uid: 1000 }), inNamespace), /user 1000 needs root/)
  t.same(losses(spec(), inNamespace), [])
  const words = superviseWords(spec({ allowPrivilegeEscalation: false }), inNamespace, { ...plan, rootfs: '/r' })
  t.ok(words.join(' ').includes('/s/unshare --user --map-root-user --mount'))
  t.same(words.slice(-4), ['/s/chroot', '/r', 'run', '$(x)'])
  t.ok(words.includes('--no-new-privs'))
})

t.test('other losses are said', async t => {
  t.same(losses(spec({ seccomp: 'RuntimeDefault', tty: true, resources: { memoryBytes: 1 } }), asUser), [
    'seccomp profile',
    'terminal',
    'resource limits',
    'image: its program is looked for on this machine (needs root or user namespaces)',
  ])
  t.same(losses(spec({ resources: { memoryBytes: 1 } }), asRoot), [])
})

t.test('arguments travel as arguments', async t => {
  const words = superviseWords(spec({ uid: 5, gid: 6, allowPrivilegeEscalation: false }), asRoot, { ...plan, rootfs: '/r' })
  t.same(words.slice(-6), ['/s/chroot', '--userspec=+5:+6', '--groups=+6', '/r', 'run', '$(x)'])
  t.ok(words.includes('--no-new-privs'))
  t.notOk(words.slice(0, -1).some(word => word.includes('$(x)')))
  const host = superviseWords(spec({ layers: [], uid: 5, gid: 6 }), asRoot, plan)
  t.notOk(host.includes('/s/chroot'))
  t.ok(host.join(' ').includes('--reuid 5 --regid 6 --clear-groups -- run'))
})

t.test('environments may hold anything after the first sign of equality', async t => {
  t.same(environment(['A=1', 'B=x=y', 'C=', 'A=2']), { A: '2', B: 'x=y', C: '' })
})

t.test('limits are written where the layout has them', async t => {
  const limited = spec({ resources: { memoryBytes: 10, cpuLimitMillis: 500, pids: 3 } })
  t.same(limitFiles(limited, 'v2'), [
    ['memory', 'memory.max', '10'],
    ['cpu', 'cpu.max', '50000 100000'],
    ['pids', 'pids.max', '3'],
  ])
  t.same(limitFiles(limited, 'v1'), [
    ['memory', 'memory.limit_in_bytes', '10'],
    ['cpu', 'cpu.cfs_quota_us', '50000'],
    ['pids', 'pids.max', '3'],
  ])
})
