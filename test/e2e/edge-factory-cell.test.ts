// edge-configs/factory-cell as its README has it: a PLC over Modbus/TCP, a press on a serial line of the kernel's, and a real MQTT client.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync } from 'node:fs'
import t, { type Test } from 'tap'
import { run, runAs, SELF } from './cluster.ts'
import { begin, isEmpty, obstacle, pidsOf, podOf, SITE } from './edge-ground.ts'
import { makeSite } from './site.ts'
import { waitUntil } from './waiting.ts'

/** The group of serial lines on Debian. */
const DIALOUT = 20

t.setTimeout(900_000)

/** A press at the other end of a serial line: a real line of the kernel's, whose far end is this process. */
const openPress = async (t: Test): Promise<{ readonly path: string; pressure: string }> => {
  const press = { path: '', pressure: '4.21' }
  const child: ChildProcess = spawn('script', ['-q', '-f', '-c', 'stty raw -echo; tty; exec sleep 100000', '/dev/null'])
  t.teardown(() => child.kill('SIGKILL'))
  const [first] = (await once(child.stdout!, 'data')) as [Buffer]
  press.path = first.toString().trim()
  child.stdout?.on('data', (bytes: Buffer) => {
    if (bytes.toString().includes('PRESSURE?\n')) child.stdin?.write(`${press.pressure}\n`)
  })
  chownSync(press.path, 0, DIALOUT)
  chmodSync(press.path, 0o660)
  return press
}

const broker = obstacle('perl', 'mosquitto', 'mosquitto_passwd', 'mosquitto_pub', 'mosquitto_sub', 'script')
t.test(
  'a factory cell: registers and pressure arrive over MQTT, from a container and from a plain process, without the server too',
  { skip: broker },
  async t => {
    const site = makeSite(SITE + 4)
    const ground = await begin(t, 'factory-cell', [site])
    const { set, server } = ground
    const press = await openPress(t)
    const [gateway, controller] = [ground.placeOf('gateway', site), ground.placeOf('press', site)]
    const address = site.serverAddress.replace(/1$/, '2')
    for (const host of ['192.0.2.10', '192.0.2.20']) set.change('cell.yaml', host, address)
    set.change('press-control.yaml', 'path: /dev/press', `path: ${press.path}`)
    const hear = async (topic: 'plc/registers' | 'press/pressure'): Promise<string> =>
      (await set.ok(`mosquitto_sub -h BROKER -u cell -P change-me -t cell/${topic} -C 1 -W 30`, gateway, { BROKER: address })).trim()

    await set.ok('node scripts/make-edge-images.ts factory-cell images/', server)
    const running = await ground.serve()
    await set.ok('cat /var/lib/heliopause/join-token', server)
    await set.ok('helio image import images/plc-gateway.tar', gateway)
    await set.ok('helio image import images/press-control.tar', controller)
    await ground.board('helio agent --config edge-configs/factory-cell/config/agent-gateway.yaml --token TOKEN', 'gateway', site)
    await ground.board('helio agent --config edge-configs/factory-cell/config/agent-press.yaml --token TOKEN', 'press', site)
    await set.ok('helio apply -f edge-configs/factory-cell/', server)

    await t.test('the gateway starts in order, and its broker does not wait for the PLC', async t => {
      await waitUntil('it waits for the PLC', async () => (await podOf(gateway, 'plc-gateway'))?.summary === 'Init:2/3')
      t.equal(await hear('press/pressure'), '4.21', 'the press is heard already')
      await set.ok('helio apply -f edge-configs/factory-cell/simulator/', server)
      await set.ok('helio rollout status deployment/plc-gateway -n cell', server)
      await set.ok('helio rollout status deployment/press-control -n cell', server)
      const pods = await set.ok('helio get pods -n cell -o wide', server)
      t.match(pods, /plc-gateway-\S+ +2\/2 .* gateway /)
      t.match(pods, /press-control-\S+ +1\/1 .* press /)
    })

    await t.test('values arrive, and their changes', async t => {
      t.strictSame(JSON.parse(await hear('plc/registers')), { 0: 237, 1: 1013, 2: 1, 3: 0 })
      set.change('simulator/plc-simulator.yaml', '"237 1013 1 0"', '"238 1012 0 65535"')
      await set.ok('helio apply -f edge-configs/factory-cell/simulator/', server)
      await waitUntil('the new values', async () => (await hear('plc/registers')) === '{"0":238,"1":1012,"2":0,"3":65535}')
      const stranger = ['mosquitto_sub', '-h', address, '-u', 'cell', '-P', 'guessed', '-t', '#', '-C', '1']
      t.not((await run(site.enter[0], [...site.enter.slice(1), ...stranger])).code, 0, 'not for those without the password')
      t.match(await set.ok('helio device status', controller), /Runtime: +process/)
      t.match(await set.ok('helio device pods', controller), /press-control-\S+ +1\/1 +Running/)
      t.equal(await set.ok('helio logs deployment/plc-gateway -n cell -c bridge', server), '', 'no trouble with the PLC')
      t.match(await set.ok('helio logs deployment/press-control -n cell', server), /the serial line is open/)
    })

    await t.test('the cell works on without its server, and the bridge outlives its PLC', async t => {
      const pids = [await pidsOf(gateway), await pidsOf(controller)]
      await running.kill()
      press.pressure = '5.5'
      await waitUntil('the new pressure', async () => (await hear('press/pressure')) === '5.5')
      t.strictSame([await pidsOf(gateway), await pidsOf(controller)], pids, 'nothing was started anew')
      await runAs(SELF, ['device', 'restart', 'plc-simulator', '-n', 'cell', '--data-dir', gateway.data])
      await waitUntil('the bridge says so', async () => {
        const { stdout } = await runAs(SELF, [
          'device',
          'logs',
          (await podOf(gateway, 'plc-gateway'))!.name,
          '-n',
          'cell',
          '-c',
          'bridge',
          '--data-dir',
          gateway.data,
        ])
        return /read registers: [\s\S]*the PLC answers/.test(stdout)
      })
      t.equal(
        (await pidsOf(gateway))[`${(await podOf(gateway, 'plc-gateway'))?.name}/bridge`],
        pids[0]?.[`${(await podOf(gateway, 'plc-gateway'))?.name}/bridge`],
      )
      await ground.serve()
      for (const { data } of [gateway, controller]) await runAs(SELF, ['device', 'sync', '--data-dir', data])
    })

    await set.ok('helio delete -f edge-configs/factory-cell/simulator/', server)
    await set.ok('helio delete -f edge-configs/factory-cell/', server)
    await waitUntil('both are empty', () => isEmpty([gateway, controller]))
    await ground.end()
  },
)
