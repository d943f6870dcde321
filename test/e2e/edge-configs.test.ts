// The sets of edge-configs as their READMEs have them, with real servers, agents, containers and tools, each board in a network of its own:
// a set comes up, does what it promises, with its server or the way to it gone too, and leaves nothing behind.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { findProgram } from '../../scripts/oci-image.ts'
import { Client } from './client.ts'
import { freePort, type Running, run, runAs, SELF, temporaryDir, wipe } from './cluster.ts'
import { type EdgeSet, openEdgeSet, type Place, tracesOf } from './edge-set.ts'
import { makeSite, type Site, whyNoSites } from './site.ts'
import { waitUntil } from './waiting.ts'

const DIALOUT = 20
/** Networks are the machine's: two runs at once shall not have the same. */
const SITE = 100 + 5 * (process.pid % 20)

/** Why a set cannot come up here. */
const obstacle = (...programs: string[]): string | false => {
  const missing = ['crun', 'conmon', 'busybox', 'nsenter', ...programs].filter(name => !isThere(name))
  const why = whyNoSites() ?? (missing.length > 0 ? `there is no ${missing.join(', no ')}` : undefined)
  if (why === undefined) return false
  t.comment(`SKIPPED LOUDLY: a set of edge-configs does not come up: ${why}`)
  return why
}

const isThere = (program: string): boolean => {
  try {
    return existsSync(findProgram(program))
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

interface DevicePod {
  readonly name: string
  readonly summary: string
  readonly ready: { readonly ready: number; readonly total: number }
  readonly containers: readonly { readonly name: string; readonly pid: number | null }[]
  readonly status: { readonly podIP?: string }
}

/** A set in the making; all that it starts is ended with the test. */
interface Ground {
  readonly set: EdgeSet
  readonly dir: string
  readonly server: Place
  readonly token: () => string
  serve(): Promise<Running>
  board(line: string, name: string, site: Site, words?: Record<string, string>, ...more: string[]): Promise<Running>
  placeOf(name: string, site: Site): Place
  /** Stops what was started, and tells what is left of it. */
  end(): Promise<void>
}

const begin = async (t: Test, name: string, sites: readonly Site[]): Promise<Ground> => {
  const dir = temporaryDir()
  const set = openEdgeSet(name, dir)
  const server: Place = { data: join(dir, 'server') }
  const port = await freePort()
  const roles: Running[] = []
  t.teardown(async () => {
    for (const role of roles) await role.kill()
    wipe(dir)
    for (const site of sites) site.remove()
  })
  set.change('config/server.yaml', 'port: 6443', `port: ${port}`)
  // Boards find everything that is not of their own network here.
  const [home] = sites
  for (const site of sites) await run(site.enter[0], [...site.enter.slice(1), 'ip', 'route', 'add', 'default', 'via', site.serverAddress])
  const started = async (role: Promise<Running>): Promise<Running> => {
    const running = await role
    roles.push(running)
    return running
  }
  const placeOf = (board: string, site: Site): Place => ({ data: join(dir, board), enter: site.enter })
  const token = (): string => readFileSync(join(server.data, 'join-token'), 'utf8').trim()
  return {
    set,
    dir,
    server,
    token,
    placeOf,
    serve: () => started(set.start(`helio server --config edge-configs/${name}/config/server.yaml`, server, {})),
    board: (line, board, site, words = {}, ...more) =>
      started(
        set.start(line, placeOf(board, site), { TOKEN: token(), ...words }, '--server', `https://${home?.serverAddress}:${port}`, ...more),
      ),
    async end() {
      for (const role of roles) if (role.child.exitCode === null && role.child.signalCode === null) await role.stop()
      for (const site of sites) t.strictSame(await tracesOf(dir, site.enter), [], 'nothing of it is left')
      t.strictSame(set.left(), [], 'every command of the README was run')
    },
  }
}

const podsOf = async ({ data }: Place): Promise<DevicePod[]> =>
  (JSON.parse((await runAs(SELF, ['device', 'pods', '-o', 'json', '--data-dir', data])).stdout || '{"items":[]}') as { items: DevicePod[] })
    .items
const podOf = async (place: Place, start: string): Promise<DevicePod | undefined> =>
  (await podsOf(place)).find(pod => pod.name.startsWith(start))
const pidsOf = async (place: Place): Promise<Record<string, number | null>> =>
  Object.fromEntries((await podsOf(place)).flatMap(pod => pod.containers.map(({ name, pid }) => [`${pod.name}/${name}`, pid])))
const isReady = (pod: DevicePod | undefined): boolean =>
  pod !== undefined && pod.ready.ready === pod.ready.total && pod.summary === 'Running'
const isEmpty = async (places: readonly Place[]): Promise<boolean> =>
  (await Promise.all(places.map(podsOf))).every(pods => pods.length === 0)

t.setTimeout(900_000)

t.test(
  'a cell tower: packets are counted and caught, and the cache serves with the server and the backhaul gone',
  { skip: obstacle('tcpdump') },
  async t => {
    const sites = [makeSite(SITE), makeSite(SITE + 1), makeSite(SITE + 2)]
    const ground = await begin(t, 'cell-tower', sites)
    const { set, dir, server } = ground
    const boards = sites.map((site, i) => ground.placeOf(`board-${i + 1}`, site))
    const content = { text: 'from the core\n', asked: 0 }
    const origin = createServer((_, response) => {
      content.asked++
      response.end(content.text)
    }).listen(0, '0.0.0.0')
    t.teardown(() => origin.close())
    await once(origin, 'listening')
    const { port } = origin.address() as { port: number }
    set.change('breakout-cache.yaml', 'http://198.51.100.10:8000', `http://${sites[0]?.serverAddress}:${port}`)
    // Every copy is stale at once, every second counts.
    set.change('breakout-cache.yaml', 'ORIGIN_TIMEOUT_SECONDS: "10"', 'ORIGIN_TIMEOUT_SECONDS: "1"')
    set.change('breakout-cache.yaml', 'FRESH_SECONDS: "300"', 'FRESH_SECONDS: "0"')
    set.change('packet-monitor.yaml', 'INTERVAL_SECONDS: "10"', 'INTERVAL_SECONDS: "1"')

    await set.ok('node scripts/make-edge-images.ts cell-tower images/', server)
    let running = await ground.serve()
    t.equal((await set.ok('cat /var/lib/heliopause/join-token', server)).trim(), ground.token())
    const line = 'helio agent --config edge-configs/cell-tower/config/agent.yaml --node-name board-1 --token TOKEN'
    for (const [i, site] of sites.entries()) {
      await set.ok('helio image import images/packet-monitor.tar images/breakout-cache.tar', boards[i]!)
      await ground.board(line, `board-${i + 1}`, site, { 'board-1': `board-${i + 1}` })
    }
    await waitUntil('three nodes', async () => ((await set.ok('helio get nodes', server)).match(/ Ready /g) ?? []).length === 3)
    await set.ok('helio apply -f edge-configs/cell-tower/', server)
    await set.ok('helio rollout status deployment/packet-monitor -n packet-monitor', server)
    await set.ok('helio rollout status deployment/cache -n breakout', server)
    const wide = await set.ok('helio get pods -A -o wide', server)
    for (const board of ['board-1', 'board-2', 'board-3']) t.match(wide, new RegExp(`packet-monitor-.*${board}`), `${board} has a monitor`)

    await t.test('packets are counted as the kernel counts them, and caught', async t => {
      const kernel = async (site: Site): Promise<number> => {
        const { stdout } = await run(site.enter[0], [...site.enter.slice(1), 'cat', '/proc/net/dev'])
        return Number(/^ *hs\S+: *\d+ +(\d+)/m.exec(stdout)?.[1])
      }
      const monitor = await podOf(boards[0]!, 'packet-monitor')
      const counters = 'helio exec deployment/packet-monitor -n packet-monitor -c counters -- tail -n 3 /ring/counters.tsv'
      const words = { 'deployment/packet-monitor': `pod/${monitor?.name}` }
      const counted = async (): Promise<number> => Number(/\ths\S+\t(\d+)\t.*\n(?!.*\ths)/.exec(await set.ok(counters, server, words))?.[1])
      const before = await kernel(sites[0]!)
      t.equal((await run('busybox', ['ping', '-c', '3', '-W', '5', sites[0]!.serverAddress.replace(/1$/, '2')])).code, 0)
      await waitUntil('three packets more', async () => (await counted()) >= before + 3)
      t.ok((await counted()) <= (await kernel(sites[0]!)), 'and none that there was not')
      const capture = 'helio exec deployment/packet-monitor -n packet-monitor -c capture -- tcpdump -n -Z web -r /ring/capture0'
      await waitUntil(
        'the echo in the ring',
        async () => ((await set.run(capture, server, words)).stdout.match(/ICMP echo request/g) ?? []).length >= 3,
      )
      const file = join(dir, 'capture.pcap')
      await set.ok('helio cp packet-monitor/POD:/ring/capture0 capture.pcap -c capture', server, {
        POD: monitor?.name ?? '',
        'capture.pcap': file,
      })
      t.match((await run('tcpdump', ['-n', '-r', file])).stdout, /ICMP echo reply/)
      const status = readFileSync(`/proc/${monitor?.containers.find(({ name }) => name === 'capture')?.pid}/status`, 'utf8')
      t.match(status, /Uid:\t1000\t1000[\s\S]*CapEff:\t0+\n/, 'whoever reads packets has no right any more')
    })

    const at = (await Promise.all(boards.map(board => podOf(board, 'cache')))).findIndex(isReady)
    const [board, site] = [boards[at]!, sites[at]!]
    const address = site.serverAddress.replace(/1$/, '2')
    /** What the cache says of itself, or the code of its refusal; and the page. */
    const ask = async (file = 'hello.txt'): Promise<string> => {
      const words = { BOARD: address, 'hello.txt': file }
      const { stdout, stderr } = await set.run('wget -S -O - http://BOARD:8080/cgi-bin/cache/hello.txt', board, words)
      return `${/X-Cache: (\w+)/.exec(stderr)?.[1] ?? /HTTP\/1\.\d (\d+)/.exec(stderr)?.[1]} ${stdout}`
    }
    await t.test('the cache', async t => {
      t.equal(await ask(), 'MISS from the core\n')
      content.text = 'from the core, later\n'
      t.equal(await ask(), 'MISS from the core, later\n', 'what is not fresh is fetched again')
      const pids = await pidsOf(board)
      await running.kill()
      t.equal(await ask(), 'MISS from the core, later\n', 'without the server')
      site.cut()
      t.equal(await ask(), 'STALE from the core, later\n', 'without the backhaul')
      t.match(await ask('never-asked.txt'), /^502/)
      t.match(await ask('..%2f..%2fetc/passwd'), /^40/)
      t.strictSame(await pidsOf(board), pids, 'nothing was started anew')
      await waitUntil('it is seen at the board', async () => !/Connected|in contact,/.test(await set.ok('helio device status', board)))
      t.match(await set.ok('helio device pods', board), /cache-\S+ +1\/1 +Running/)
      const monitor = await podOf(board, 'packet-monitor')
      t.match(await set.ok('helio device logs POD -n packet-monitor -c counters', board, { POD: monitor?.name ?? '' }), /counting into/)
      t.match((await set.run('helio device doctor', board)).stdout, /no contact with/)
      site.heal()
      running = await ground.serve()
      for (const each of boards) await runAs(SELF, ['device', 'sync', '--data-dir', each.data])
    })

    await set.ok('helio delete -f edge-configs/cell-tower/', server)
    await waitUntil('the boards are empty', () => isEmpty(boards))
    await ground.end()
  },
)

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
      await waitUntil('the measurement at the server', () => toldAs(12.6))
      await waitUntil('remote assistance', async () => isReady(await podOf(bus, 'remote-assist')))
      const { status } = (await podOf(bus, 'remote-assist'))!
      const assist = async (account: string): Promise<string> =>
        (await run(site.enter[0], [...site.enter.slice(1), 'busybox', 'wget', '-q', '-O', '-', `http://${account}${status.podIP}:8081/`]))
          .stdout
      t.equal(await assist(''), '', 'nobody enters without the password')
      t.match(await assist('control:change-me@'), /Remote assistance/)
      t.match(await set.ok('helio device link --profile metered', bus), /Profile: +metered/)
      t.match(await set.ok('helio device link', bus), /telemetry +\S+ +\S+ +16.4kB/, 'the budget of the day')
    })

    await t.test('out of contact', async t => {
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
