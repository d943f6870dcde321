import t from 'tap'
import { compileSeccomp, type SeccompArch, seccompByName } from '../../../src/runtime/seccomp.ts'
import { SYSCALL_MAX_KNOWN, SYSCALLS } from '../../../src/runtime/syscalls.ts'
import { fc } from '../../property.ts'

const AUDIT: Record<SeccompArch, number> = { x86_64: 0xc000003e, aarch64: 0xc00000b7 }
const [ALLOW, EPERM, ENOSYS, EAFNOSUPPORT, KILL] = [0x7fff0000, 0x50001, 0x50000 | 38, 0x50000 | 97, 0x80000000]

/** What the kernel would do: classic BPF on struct seccomp_data, the instructions the compiler uses. */
const judge = (program: Uint8Array, arch: number, number: number, args: readonly number[] = []): number => {
  const view = new DataView(program.buffer)
  const data = new Map([[0, number], [4, arch], ...args.map((value, i): [number, number] => [16 + i * 8, value])])
  let accumulator = 0
  for (let at = 0; ; at++) {
    const [code, yes, no, k] = [
      view.getUint16(at * 8, true),
      view.getUint8(at * 8 + 2),
      view.getUint8(at * 8 + 3),
      view.getUint32(at * 8 + 4, true),
    ]
    const jump = (taken: boolean): void => {
      at += taken ? yes : no
    }
    if (code === 0x20) accumulator = (data.get(k) ?? 0) >>> 0
    else if (code === 0x06) return k
    else if (code === 0x05) at += k
    else if (code === 0x15) jump(accumulator === k)
    else if (code === 0x35) jump(accumulator >= k)
    else if (code === 0x45) jump((accumulator & k) !== 0)
    else throw new Error(`unknown instruction ${code}`)
  }
}

const call = (arch: SeccompArch, name: string, args: readonly number[] = [], capabilities: readonly string[] = []): number =>
  judge(compileSeccomp(arch, capabilities), AUDIT[arch], SYSCALLS.get(name)?.[arch] ?? -1, args)

for (const arch of ['x86_64', 'aarch64'] as const)
  t.test(`${arch}: what every program needs passes, ways out do not`, async t => {
    for (const name of [
      'read',
      'write',
      'openat',
      'execve',
      'futex',
      'mmap',
      'exit_group',
      'clock_gettime',
      'statx',
      'epoll_pwait',
      'connect',
    ])
      t.equal(call(arch, name), ALLOW, name)
    for (const name of [
      'mount',
      'unshare',
      'setns',
      'bpf',
      'ptrace',
      'init_module',
      'reboot',
      'open_by_handle_at',
      'settimeofday',
      'chroot',
    ])
      t.equal(call(arch, name), EPERM, name)
    t.equal(call(arch, 'clone3'), ENOSYS, 'libraries fall back to clone')
  })

t.test('clone passes for threads and children, not for namespaces', async t => {
  t.equal(call('x86_64', 'clone', [0x3d0f00]), ALLOW)
  t.equal(call('x86_64', 'clone', [0x11]), ALLOW)
  for (const flag of [0x10000000, 0x20000, 0x40000000, 0x20000000, 0x2000000, 0x4000000, 0x8000000])
    t.equal(call('x86_64', 'clone', [flag | 0x11]), EPERM, flag.toString(16))
  t.equal(call('x86_64', 'clone', [0x10000011], ['SYS_ADMIN']), ALLOW)
})

t.test('arguments decide where the call alone does not', async t => {
  t.equal(call('x86_64', 'socket', [2]), ALLOW)
  t.equal(call('x86_64', 'socket', [38]), EAFNOSUPPORT)
  t.equal(call('x86_64', 'socket', [40]), EAFNOSUPPORT)
  t.equal(call('x86_64', 'personality', [0xffffffff]), ALLOW)
  t.equal(call('x86_64', 'personality', [0x0400000]), EPERM)
  t.equal(call('x86_64', 'ioctl', [0, 0x5413]), ALLOW)
  t.equal(call('x86_64', 'ioctl', [0, 0x5412]), EPERM, 'TIOCSTI')
})

t.test('a capability opens its calls and no others', async t => {
  t.equal(call('aarch64', 'ptrace', [], ['SYS_PTRACE']), ALLOW)
  t.equal(call('aarch64', 'mount', [], ['SYS_PTRACE']), EPERM)
  t.equal(call('aarch64', 'mount', [], ['SYS_ADMIN']), ALLOW)
})

t.test('another architecture is killed, another ABI and the future are unknown calls', async t => {
  const program = compileSeccomp('x86_64', [])
  t.equal(judge(program, 0x40000003, 1), KILL)
  t.equal(judge(program, AUDIT.x86_64, 0x40000000), ENOSYS)
  t.equal(judge(program, AUDIT.x86_64, SYSCALL_MAX_KNOWN + 1), ENOSYS)
})

t.test('every number gets the verdict of its name', async () => {
  const program = compileSeccomp('x86_64', [])
  const allowed = new Set(seccompByName([]).syscalls.flatMap(rule => (rule.action === 'SCMP_ACT_ALLOW' ? rule.names : [])))
  const byNumber = new Map([...SYSCALLS].map(([name, numbers]) => [numbers.x86_64, name]))
  fc.assert(
    fc.property(fc.integer({ min: 0, max: SYSCALL_MAX_KNOWN }), number => {
      const name = byNumber.get(number)
      const verdict = judge(program, AUDIT.x86_64, number)
      return name === 'clone3' ? verdict === ENOSYS : (verdict === ALLOW) === (name !== undefined && allowed.has(name))
    }),
    { numRuns: 500 },
  )
})

t.test('the program fits the kernel', async t => {
  for (const arch of ['x86_64', 'aarch64'] as const) t.ok(compileSeccomp(arch, []).length / 8 < 4096, 'BPF_MAXINSNS')
  t.same(compileSeccomp('x86_64', ['SYS_TIME']), compileSeccomp('x86_64', ['SYS_TIME']), 'same arguments, same program')
})
