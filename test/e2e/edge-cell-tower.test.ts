// edge-configs/cell-tower as its README has it: one server, three boards, real packets, an origin that goes away.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { run, runAs, SELF } from './cluster.ts'
import { begin, isEmpty, isReady, obstacle, pidsOf, podOf, SITE } from './edge-ground.ts'
import { makeSite, type Site } from './site.ts'
import { waitUntil } from './waiting.ts'

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
