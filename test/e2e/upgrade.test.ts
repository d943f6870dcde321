// helio upgrade with the real launcher and the real program on a device that nobody helps: what is good stays, whatever is wrong with a
// version the one before runs again, and the pod never notices. Then cuts at random moments; `npm run test:power` does 200 of them.

import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { cutAtRandom } from '../power/cuts.ts'
import { freePort } from './cluster.ts'
import { makeDevice, type SlotDevice, type Supervisor } from './slot-device.ts'
import { waitUntil } from './waiting.ts'

t.setTimeout(900_000)

const CUTS = Number(process.env['HELIO_CUTS'] ?? 20)
/** Times of trials here: of a version that is good, and of one that hangs. */
const TIMES = ['--steady', '2s', '--deadline', '120s']
const SHORT = ['--steady', '1s', '--deadline', '4s']

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

interface Site {
  readonly device: SlotDevice
  readonly agent: Supervisor
  readonly pod: number
}

const withDevice = (name: string, work: (t: Test, site: Site) => Promise<void>): void => {
  t.test(name, async t => {
    const device = await makeDevice()
    const agent = device.supervise()
    t.teardown(async () => {
      await agent.cut()
      await device.remove()
    })
    const pod = await device.podPid()
    await work(t, { device, agent, pod })
    t.ok(isAlive(pod), 'the pod’s process has lived through all of it')
    t.equal(await device.podPid(), pod, 'and it is still the pod’s')
  })
}

/** Upgrades, restarts the role when told to, and answers how it ended. */
const upgrade = async ({ device, agent }: Site, file: string, ...flags: string[]) => {
  const running = device.upgrade(file, '-o', 'json', ...flags)
  const over = { ended: false }
  const ended = running.ended.finally(() => {
    over.ended = true
  })
  await waitUntil('the upgrade asks for a restart', async () => over.ended || running.stderr().includes('restart helio'))
  if (!over.ended) agent.restart()
  const { code, stdout, stderr } = await ended
  return { code, stderr, result: stdout === '' ? undefined : (JSON.parse(stdout) as { outcome: string; reason?: string; version: string }) }
}

withDevice('a good version is kept, and an older one is not taken back by mistake', async (t, site) => {
  const { device } = site
  const { code, stderr, result } = await upgrade(site, device.program('good', '1.1.0'), ...TIMES)
  t.equal(code, 0, stderr)
  t.match(result, { outcome: 'committed', version: '1.1.0', from: '1.0.0', slot: 'b', signedBy: null })
  t.match(stderr, /WARNING: .* is not signed/)
  t.match(device.slots(), { current: 'b', trial: undefined, bad: [] })
  t.match((await device.helio('version', '--client')).stdout, /Program: 1\.1\.0/)
  const older = await upgrade(site, device.program('good', '1.0.5'), ...TIMES)
  t.equal(older.code, 1)
  t.match(older.stderr, /version 1\.0\.5 is older than 1\.1\.0, which runs[\s\S]*--allow-downgrade/)
  t.equal((await upgrade(site, device.program('good', '1.1.0'))).result?.outcome, 'unchanged')
  const unsigned = await device.helio('upgrade', '--file', device.program('good', '1.2.0'), '--data-dir', device.dataDir)
  t.equal(unsigned.code, 1)
  t.match(unsigned.stderr, /is not signed[\s\S]*--allow-unsigned/)
})

withDevice('a version that ends at once is rolled back, remembered, and refused from then on', async (t, site) => {
  const { device, agent } = site
  const before = agent.starts()
  const { code, stderr, result } = await upgrade(site, device.program('ends', '1.1.0'), ...TIMES)
  t.equal(code, 1)
  t.match(result, { outcome: 'rolledBack', reason: '3 starts as agent did not end its trial' })
  t.match(stderr, /version 1\.1\.0 was rolled back, 1\.0\.0 runs again/)
  t.ok(agent.starts() - before >= 4, 'three starts of it, and one of the old')
  t.match(device.slots(), { current: 'a', trial: undefined, bad: [{ version: '1.1.0' }] })
  const again = await upgrade(site, device.program('ends', '1.1.0'))
  t.equal(again.code, 1)
  t.match(again.stderr, /version 1\.1\.0 failed on this device before: 3 starts/)
  const status = await device.helio('upgrade', 'status', '--data-dir', device.dataDir)
  t.match(status.stdout, /a +current +1\.0\.0[\s\S]*b +bad +1\.1\.0[\s\S]*Bad: version 1\.1\.0/)
})

withDevice('a version that hangs is killed by the watchdog and rolled back; commands work meanwhile', async (t, site) => {
  const { device, agent } = site
  const running = upgrade(site, device.program('hangs', '1.1.0'), ...SHORT)
  await waitUntil('the trial has begun', async () => device.slots().trial?.starts.agent === 1)
  t.equal((await device.helio('version', '--client')).code, 0)
  const second = await device.helio('upgrade', '--file', device.program('good', '1.2.0'), '--data-dir', device.dataDir, '--allow-unsigned')
  t.match(second.stderr, /version 1\.1\.0 in slot b is on trial/)
  t.match((await running).result, { outcome: 'rolledBack' })
  t.match(device.slots(), { current: 'a', trial: undefined, bad: [{ version: '1.1.0' }] })
  t.match(agent.stderr(), /going back to slot a/)
})

const DAMAGES: Readonly<Record<string, (file: string) => void>> = {
  'is cut short': file => truncateSync(file, 100_000),
  'is empty': file => truncateSync(file, 0),
  'is for another machine': file => writeFileSync(file, elfFor(process.arch === 'x64' ? 0xb7 : 0x3e)),
  'is no program': file => writeFileSync(file, 'touch owned\n'),
}

const elfFor = (machine: number): Buffer => {
  const bytes = Buffer.alloc(4096)
  bytes.write('\x7fELF\x02\x01\x01', 'latin1')
  bytes.writeUInt16LE(2, 16)
  bytes.writeUInt16LE(machine, 18)
  return bytes
}

withDevice('a version that was damaged in its slot is rolled back at once, whatever the damage', async (t, { device, agent }) => {
  for (const [index, [damage, harm]] of Object.entries(DAMAGES).entries()) {
    const version = `1.${index + 1}.0`
    const { code, stderr } = await device.upgrade(device.program('good', version), ...TIMES, '--no-restart').ended
    t.equal(code, 0, stderr)
    t.equal(device.slots().current, 'b')
    harm(join(device.dataDir, 'slots/b/helio'))
    agent.restart()
    await waitUntil('the old version runs', async () => device.slots().current === 'a')
    t.match(device.slots().bad.at(-1), { version, reason: 'cannot be executed on this machine' }, damage)
    await device.podPid()
  }
})

withDevice('a file that is no program for this machine is refused before anything is written', async (t, { device }) => {
  for (const [damage, harm] of Object.entries(DAMAGES).slice(1)) {
    const file = device.program('good', '1.1.0')
    harm(file)
    const { code, stderr } = await device.upgrade(file).ended
    t.equal(code, 1, damage)
    t.match(stderr, /cannot run here/)
  }
  const file = device.program('good', '1.1.0')
  truncateSync(file, 100_000)
  const { code, stderr } = await device.upgrade(file).ended
  t.equal(code, 1)
  t.match(stderr, /the new program does not run/)
  t.match(device.slots(), { current: 'a', slots: { b: { runnable: false } } })
})

withDevice('a trial is ended by hand, and a kept version is left for the one before, on trial again', async (t, site) => {
  const { device, agent } = site
  const tried = await device.upgrade(device.program('good', '1.1.0'), '--no-restart').ended
  t.equal(tried.code, 0, tried.stderr)
  const back = await device.helio('upgrade', 'rollback', '--data-dir', device.dataDir)
  t.equal(back.code, 0, back.stderr)
  t.match(device.slots(), { current: 'a', trial: undefined, bad: [{ version: '1.1.0', reason: 'ended by hand' }] })
  t.equal((await upgrade(site, device.program('good', '1.2.0'), ...TIMES)).code, 0)
  const older = await device.helio('upgrade', 'rollback', '--data-dir', device.dataDir, '--no-wait', ...TIMES)
  t.equal(older.code, 0, older.stderr)
  t.match(device.slots(), { current: 'a', trial: { version: '1.0.0' } })
  agent.restart()
  await waitUntil('its trial ends', async () => device.slots().trial === undefined)
  t.equal(device.slots().current, 'a')
})

t.test('a server is kept or rolled back as an agent is, and keeps what it was told', async t => {
  const device = await makeDevice()
  const port = await freePort()
  const agent = device.supervise('server', '--no-agent', '--port', String(port))
  t.teardown(async () => {
    await agent.cut()
    await device.remove()
  })
  const url = `https://127.0.0.1:${port}`
  const answers = async (): Promise<boolean> => (await device.helio('get', 'namespaces', '--data-dir', device.dataDir)).code === 0
  await waitUntil(`${url} answers`, answers)
  const made = await device.helio('create', 'namespace', 'kept', '--data-dir', device.dataDir)
  t.equal(made.code, 0, made.stderr)
  const site = { device, agent, pod: 0 }
  t.match((await upgrade(site, device.program('good', '1.1.0'), ...TIMES)).result, { outcome: 'committed' })
  t.match((await upgrade(site, device.program('ends', '1.2.0'), ...TIMES)).result, {
    outcome: 'rolledBack',
    reason: '3 starts as server did not end its trial',
  })
  await waitUntil(`${url} answers again`, answers)
  t.equal((await device.helio('get', 'namespace', 'kept', '--data-dir', device.dataDir)).code, 0)
  t.match(device.slots(), { current: 'b', trial: undefined })
})

t.test(`${CUTS} power cuts at random moments of upgrades: the old or the new version starts, and the pod runs on`, async t => {
  const counts = await cutAtRandom({ cuts: CUTS, seed: 'upgrade', say: text => t.comment(text) })
  t.equal(counts.cuts, CUTS)
  t.equal(counts.old + counts.new, CUTS, 'each time one of the two ran')
})
