// The routed network on real namespaces: a "machine" with two agents on it and a neighbour outside that knows no pod ranges.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Exec } from '../../src/base/exec.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemExec } from '../../src/host/exec.ts'
import { createNetwork } from '../../src/network/index.ts'
import { linkName, tableName } from '../../src/network/routed.ts'

const able = process.getuid?.() === 0 && ['ip', 'nft', 'nsenter', 'unshare', 'busybox'].every(name => systemExec.find(name))
if (!able) console.error('SKIPPED LOUDLY: the routed network needs root, iproute2, nftables, util-linux and busybox')

t.test('routed network', { skip: able ? false : 'needs root, ip, nft, nsenter, unshare, busybox' }, async t => {
  const dir = mkdtempSync(join(tmpdir(), 'helio-network-'))
  const must = async (command: string, ...args: string[]): Promise<string> => {
    const result = await systemExec.run(command, args)
    if (result.code !== 0) throw new Error(`${command} ${args.join(' ')}: ${result.stderr}`)
    return result.stdout
  }
  const namespaces: string[] = []
  const namespace = async (name: string): Promise<string> => {
    const path = join(dir, name)
    writeFileSync(path, '')
    await must('unshare', `--net=${path}`, 'true')
    namespaces.push(path)
    return path
  }
  t.teardown(async () => {
    for (const path of namespaces) await must('umount', path)
    rmSync(dir, { recursive: true })
  })
  const [machine, outside] = [await namespace('machine'), await namespace('outside')]
  const inside = (path: string, ...args: string[]) => systemExec.run('nsenter', [`--net=${path}`, ...args])
  const exec: Exec = {
    find: systemExec.find,
    run: (command, args, options) => systemExec.run('nsenter', [`--net=${machine}`, command, ...args], options),
  }
  const pings = async (from: string, to: string): Promise<boolean> =>
    (await inside(from, 'busybox', 'ping', '-c', '1', '-W', '2', to)).code === 0

  await inside(machine, 'ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outside)
  for (const [path, device, address] of [
    [machine, 'up0', '198.51.100.1/24'],
    [outside, 'eth0', '198.51.100.2/24'],
  ] as const) {
    await inside(path, 'ip', 'addr', 'add', address, 'dev', device)
    await inside(path, 'ip', 'link', 'set', device, 'up')
  }
  const [a, b] = ['/data/a', '/data/b'].map(instance => createNetwork({ exec, log: silentLog, instance }, { isolatesNetwork: true }))
  if (!a || !b) throw new Error('two networks are made')
  const clusterCIDR = '10.42.0.0/16'
  await a.configure({ podCIDR: '10.42.1.0/24', clusterCIDR })
  await b.configure({ podCIDR: '10.42.2.0/24', clusterCIDR })
  const [a1, a2, b1] = [await namespace('a1'), await namespace('a2'), await namespace('b1')]
  await a.attach({ uid: 'a1', netns: a1, address: '10.42.1.2' })
  await a.attach({ uid: 'a2', netns: a2, address: '10.42.1.3' })
  await b.attach({ uid: 'b1', netns: b1, address: '10.42.2.2' })

  await t.test('pods reach each other, also those of another agent on the machine', async t => {
    t.ok(await pings(a1, '10.42.1.3'))
    t.ok(await pings(a1, '10.42.2.2'))
    t.ok(await pings(b1, '10.42.1.2'))
    t.ok(await pings(a1, '127.0.0.1'), 'loopback is up')
  })

  await t.test('the device reaches its pods and pods reach the device', async t => {
    t.ok(await pings(machine, '10.42.1.2'))
    t.ok(await pings(a1, '198.51.100.1'))
  })

  await t.test('pods reach the outside under the address of the device', async t => {
    t.ok(await pings(a1, '198.51.100.2'), 'outside has no route to pods, so only a masqueraded packet is answered')
    t.notOk(await pings(outside, '10.42.1.2'))
  })

  await t.test('doing it again changes nothing, and a half-made link is made whole', async t => {
    await a.attach({ uid: 'a1', netns: a1, address: '10.42.1.2' })
    t.ok(await pings(a1, '10.42.1.3'))
    await inside(a1, 'ip', 'addr', 'flush', 'dev', 'eth0')
    t.notOk(await pings(a1, '10.42.1.3'))
    await a.attach({ uid: 'a1', netns: a1, address: '10.42.1.2' })
    t.ok(await pings(a1, '10.42.1.3'))
    await a.configure({ podCIDR: '10.42.1.0/24', clusterCIDR })
    t.ok(await pings(a1, '198.51.100.2'))
  })

  await t.test('an address can go to the next pod once its link is gone', async t => {
    await a.detach('a2')
    await a.detach('a2')
    t.notOk(await pings(a1, '10.42.1.3'))
    const a3 = await namespace('a3')
    await a.attach({ uid: 'a3', netns: a3, address: '10.42.1.3' })
    t.ok(await pings(a1, '10.42.1.3'))
  })

  await t.test('removing one agent leaves the other alone', async t => {
    await a.remove()
    await a.remove()
    const links = (await inside(machine, 'ip', '-br', 'link')).stdout
    t.notMatch(links, linkName('/data/a', 'a1'))
    t.match(links, linkName('/data/b', 'b1'))
    const tables = (await inside(machine, 'nft', 'list', 'tables')).stdout
    t.notMatch(tables, tableName('/data/a'))
    t.match(tables, tableName('/data/b'))
    t.ok(await pings(b1, '198.51.100.2'))
  })
})

t.test('pods that share the network of the device need nothing', async t => {
  const network = createNetwork({ exec: systemExec, log: silentLog, instance: '/data/c' }, { isolatesNetwork: false })
  await network.configure({ podCIDR: '10.42.9.0/24', clusterCIDR: '10.42.0.0/16' })
  await network.attach({ uid: 'x', netns: '', address: '10.42.9.2' })
  await network.detach('x')
  t.pass('no program was started')
})
