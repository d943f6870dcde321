import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../../src/base/log.ts'
import { type CgroupLayout, countSwap, parseCgroupLayout } from '../../../src/runtime/cgroup.ts'
import { capabilityNames } from '../../../src/runtime/facts.ts'

const V1 = ['memory', 'cpu,cpuacct', 'pids'].map(list => `cgroup /sys/fs/cgroup/${list} cgroup rw,relatime,${list} 0 0`).join('\n')
const UNIFIED = 'cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0'

t.test('pure v2 knows which controllers the kernel was booted with', async t => {
  const layout = parseCgroupLayout('cgroup2 /sys/fs/cgroup cgroup2 rw 0 0', path =>
    path === '/sys/fs/cgroup/cgroup.controllers' ? 'cpuset cpu io pids\n' : undefined,
  )
  t.match(layout, { version: 'v2', swapAccounting: false })
  t.equal(layout.mounts.get(''), '/sys/fs/cgroup')
  t.same([...layout.controllers], ['cpuset', 'cpu', 'io', 'pids'])
})

t.test('in pure v2 the own group is given the memory controller and tells whether swap counts', async t => {
  const errors: string[] = []
  const log = { ...silentLog, error: (message: string) => void errors.push(message) }
  const layoutAt = (mount: string): CgroupLayout => ({
    version: 'v2',
    mounts: new Map([['', mount]]),
    controllers: new Set(['memory']),
    swapAccounting: false,
  })
  const mount = t.testdir({ helio: { 'memory.swap.max': 'max' }, bare: {}, 'cgroup.subtree_control': '' })
  t.equal(countSwap(layoutAt(mount), '/helio', log).swapAccounting, true)
  t.equal(readFileSync(join(mount, 'cgroup.subtree_control'), 'utf8'), '+memory')
  t.equal(countSwap(layoutAt(mount), '/bare', log).swapAccounting, false, 'a kernel that does not count swap')
  t.equal(errors.length, 0)
  const refused = t.testdir({ 'cgroup.subtree_control': {} })
  t.equal(countSwap(layoutAt(refused), '/helio', log).swapAccounting, false, 'controllers may not be handed down')
  t.equal(errors.length, 1)
})

t.test('pure v1 knows each controller’s place, also of those mounted together', async t => {
  const layout = parseCgroupLayout(V1, () => undefined)
  t.match(layout, { version: 'v1', swapAccounting: false })
  t.equal(layout.mounts.get('cpuacct'), '/sys/fs/cgroup/cpu,cpuacct')
  t.equal(layout.hybridControllers, undefined)
  t.ok(layout.controllers.has('pids'))
})

t.test('a hybrid needs the work-around only while cgroup2 holds a controller', async t => {
  const list = '/sys/fs/cgroup/unified/cgroup.controllers'
  t.equal(parseCgroupLayout(`${V1}\n${UNIFIED}`, path => (path === list ? 'hugetlb\n' : undefined)).hybridControllers, list)
  t.equal(parseCgroupLayout(`${V1}\n${UNIFIED}`, path => (path === list ? '\n' : undefined)).hybridControllers, undefined)
})

t.test('no controllers at all', async t => {
  t.equal(parseCgroupLayout('proc /proc proc rw 0 0', () => undefined).version, 'none')
})

t.test('capability masks have names', async t => {
  t.same(capabilityNames('0000000000000021'), ['CHOWN', 'KILL'])
  t.equal(capabilityNames('000001ffffffffff').length, 41)
  t.notOk(capabilityNames('000001fffeffffff').includes('SYS_RESOURCE'))
})
