// edge-configs/vehicle as its README has it: telemetry and pods of a vehicle in contact, out of it, and in contact again.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Client } from './client.ts'
import { freePort, run, runAs, SELF } from './cluster.ts'
import { begin, isEmpty, isReady, obstacle, pidsOf, podOf, SITE } from './edge-ground.ts'
import { makeSite } from './site.ts'
import { waitUntil } from './waiting.ts'

t.setTimeout(900_000)

t.test(
  'a vehicle: telemetry waits while there is no link and arrives after it, and each pod does what it is to do in silence',
  { skip: obstacle('perl') },
  async t => {
    const site = makeSite(SITE + 3)
    const ground = await begin(t, 'vehicle', [site])
    const { set, dir, server } = ground
    const bus = ground.placeOf('bus-1', site)
    const signals = join(dir, 'signals')
    const words = { '/run/vehicle/signals': signals }
    set.change('config/server.yaml', 'mqttPort: 8883', `mqttPort: ${await freePort()}`)
    set.change('telemetry.yaml', '/run/vehicle/signals', signals)
    set.change('telemetry.yaml', '/var/lib/heliopause', bus.data)
    set.change('telemetry.yaml', 'SAMPLE_SECONDS: "10"', 'SAMPLE_SECONDS: "1"')
    set.change('telemetry.yaml', 'WINDOW_SECONDS: "3600"', 'WINDOW_SECONDS: "1"')
    set.change('remote-assist.yaml', 'stop-after: 30s', 'stop-after: 2s')
    const measure = async (volts: string): Promise<void> => {
      writeFileSync(join(dir, 'battery-volts.new'), `${volts}\n`)
      await set.ok('mkdir -p /run/vehicle/signals', bus, words)
      await set.ok('mv battery-volts.new /run/vehicle/signals/battery-volts', bus, {
        ...words,
        'battery-volts.new': join(dir, 'battery-volts.new'),
      })
    }
    const waiting = async (): Promise<number> => {
      const { stdout } = await runAs(SELF, ['device', 'link', '-o', 'json', '--data-dir', bus.data])
      return (JSON.parse(stdout) as { perPriority: { telemetry?: { waiting: number } } }).perPriority.telemetry?.waiting ?? 0
    }
    const summaryOf = async (start: string): Promise<string | undefined> => (await podOf(bus, start))?.summary

    await set.ok('node scripts/make-edge-images.ts vehicle images/', server)
    let running = await ground.serve()
    await set.ok('cat /var/lib/heliopause/join-token', server)
    await set.ok('helio image import images/vehicle.tar', bus)
    const line = 'helio agent --config edge-configs/vehicle/config/agent.yaml --node-name bus-1 --token TOKEN'
    const agent = await ground.board(line, 'bus-1', site)
    let client = await Client.open(join(server.data, 'kubeconfig'))
    t.teardown(() => client.close())
    const toldAs = async (volts: number): Promise<boolean> =>
      (await client.request('GET', '/metrics')).text.includes(
        `helio_device_telemetry{device="bus-1",name="battery-volts",field="min"} ${volts}\n`,
      )
    await waitUntil('the node', async () => (await client.request('GET', '/api/v1/nodes/bus-1')).status === 200)
    await measure('12.6')
    await set.ok('helio apply -f edge-configs/vehicle/', server)
    await set.ok('helio apply -f edge-configs/vehicle/nodes/', server)
    await set.ok('helio rollout status deployment/telemetry -n vehicle', server)
    await set.ok('helio rollout status deployment/passenger-info -n vehicle', server)
    t.match(await set.ok('helio get pods -n vehicle -o wide', server), /remote-assist-\S+ .* bus-1/)

    await t.test('in contact', async t => {
      const node = await client.ok('GET', '/api/v1/nodes/bus-1')
      t.match(node, { metadata: { annotations: { 'heliopause.io/contact-interval': '12h', 'heliopause.io/public-key-sha256': String } } })
      const link = await set.ok('helio device link', bus)
      t.match(link, /Profile: +metered/, 'as its configuration says')
      t.match(link, /telemetry +\S+ +\S+ +16.4kB/, 'the budget of the day')
      // Where bytes cost money a measurement waits for company; nobody waits that long here.
      await runAs(SELF, ['device', 'link', '--profile', 'lan', '--data-dir', bus.data])
      await waitUntil('the measurement at the server', () => toldAs(12.6))
      await waitUntil('remote assistance', async () => isReady(await podOf(bus, 'remote-assist')))
      const { status } = (await podOf(bus, 'remote-assist'))!
      const assist = async (account: string): Promise<string> =>
        (await run(site.enter[0], [...site.enter.slice(1), 'busybox', 'wget', '-q', '-O', '-', `http://${account}${status.podIP}:8081/`]))
          .stdout
      t.equal(await assist(''), '', 'nobody enters without the password')
      t.match(await assist('control:change-me@'), /Remote assistance/)
    })

    await t.test('out of contact', async t => {
      await runAs(SELF, ['device', 'link', '--profile', 'metered', '--data-dir', bus.data])
      const before = await pidsOf(bus)
      client.close()
      await running.kill()
      await measure('11.9')
      await waitUntil('telemetry waits', async () => (await waiting()) > 2)
      await waitUntil('remote assistance is stopped', async () => (await summaryOf('remote-assist')) === 'DisconnectedStop')
      const kept = (pids: Record<string, number | null>) => Object.entries(pids).filter(([name]) => !name.startsWith('remote-assist'))
      t.strictSame(kept(await pidsOf(bus)), kept(before), 'the others never noticed')
      const page = await run(site.enter[0], [...site.enter.slice(1), 'busybox', 'wget', '-q', '-O', '-', 'http://127.0.0.1:8080/'])
      t.match(page.stdout, /Line 7/)

      const { name = '' } = (await podOf(bus, 'passenger-info')) ?? {}
      await set.ok('helio device hold POD -n vehicle --reason "screen is being replaced"', bus, { POD: name })
      await waitUntil('the screen is held', async () => (await summaryOf('passenger-info')) === 'Held')
      await set.ok('helio device resume POD -n vehicle', bus, { POD: name })
      await waitUntil('the screen is back', async () => isReady(await podOf(bus, 'passenger-info')))

      t.equal(await agent.stop(), 0)
      await ground.board(line, 'bus-1', site)
      const restored = await waiting()
      t.ok(restored > 0, 'what waited is on disk')
      await waitUntil('telemetry finds the new socket', async () => (await waiting()) > restored + 2)
      t.equal(await summaryOf('remote-assist'), 'DisconnectedStop', 'a new agent knows how long there was no contact')
    })

    await t.test('in contact again', async t => {
      running = await ground.serve()
      client = await Client.open(join(server.data, 'kubeconfig'))
      t.match(await set.ok('helio device sync', bus), /connected|contact/)
      await waitUntil('what waited', () => toldAs(11.9))
      await waitUntil('remote assistance runs again', async () => isReady(await podOf(bus, 'remote-assist')))
      t.notMatch((await set.run('helio device doctor', bus)).stdout, /no contact/)
      // What follows has no need to be cheap.
      await runAs(SELF, ['device', 'link', '--profile', 'lan', '--data-dir', bus.data])
    })

    await set.ok('helio delete -f edge-configs/vehicle/', server)
    await waitUntil('the vehicle is empty', () => isEmpty([bus]))
    await ground.end()
  },
)
