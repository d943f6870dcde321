import t from 'tap'
import { parseCgroupLayout } from '../../../src/runtime/cgroup.ts'
import { capabilityNames } from '../../../src/runtime/facts.ts'

const V1 = ['memory', 'cpu,cpuacct', 'pids'].map(list => `cgroup /sys/fs/cgroup/${list} cgroup rw,relatime,${list} 0 0`).join('\n')
const UNIFIED = 'cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0'

t.test('pure v2', async t => {
  const layout = parseCgroupLayout('cgroup2 /sys/fs/cgroup cgroup2 rw 0 0', path =>
    path === '/sys/fs/cgroup/init.scope/memory.swap.max' ? 'max' : undefined,
  )
  t.match(layout, { version: 'v2', swapAccounting: true })
  t.equal(layout.mounts.get(''), '/sys/fs/cgroup')
})

t.test('pure v1 knows each controller’s place, also of those mounted together', async t => {
  const layout = parseCgroupLayout(V1, () => undefined)
  t.match(layout, { version: 'v1', swapAccounting: false })
  t.equal(layout.mounts.get('cpuacct'), '/sys/fs/cgroup/cpu,cpuacct')
  t.equal(layout.hybridControllers, undefined)
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
