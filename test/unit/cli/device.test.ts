import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runHelio } from './world.ts'

const STATUS = {
  nodeName: 'edge-1',
  version: '0.1.0',
  pid: 42,
  startedAt: '2020-01-01T00:00:00Z',
  server: {
    url: 'https://10.0.0.1:6443',
    joined: true,
    connected: false,
    lastContactSeconds: 90,
    lastError: 'connection refused',
    conflict: null,
  },
  head: { epoch: 'e1', generation: 7, sha256: 'a'.repeat(64) },
  runtime: { name: 'crun', version: 'crun://1.8.1' },
  podCIDR: '10.42.0.0/24',
  pods: { total: 2, ready: 1 },
  holds: [{ namespace: 'web', name: 'p', uid: 'u', id: 'h', at: '2020-01-01T00:00:00Z', by: 'alice', reason: 'guard is open' }],
  clock: { now: '2026-11-22T10:00:00Z', complaint: 'the clock of this machine is wrong' },
  profile: 'metered',
  warnings: ['state was repaired', 'clock was behind'],
}
const NONCE = '0b7ac5c2-1111-4222-8333-944444444444'
const POD = {
  namespace: 'web',
  name: 'p',
  uid: 'u',
  desired: true,
  summary: 'Running',
  ready: { ready: 1, total: 1 },
  restarts: 3,
  status: { podIP: '10.42.0.2' },
  containers: [],
}

/** An agent's socket that answers as the local API is written down; the requests it got. */
const listen = async (t: Test, over: Record<string, unknown> = {}): Promise<{ dir: string; asked: string[]; bodies: unknown[] }> => {
  // Not under the test's own folder: a socket's path has 107 bytes at most.
  const dir = mkdtempSync(join(tmpdir(), 'helio-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const asked: string[] = []
  const bodies: unknown[] = []
  mkdirSync(join(dir, 'peer'))
  const answers: Record<string, unknown> = {
    '/v1/status': STATUS,
    '/v1/pods': { items: [POD, { ...POD, namespace: 'other', name: 'q' }] },
    ...over,
  }
  const server: Server = createServer(async (request, response) => {
    if (request.url === '/v1/peer') return response.end(JSON.stringify({ nonce: NONCE }))
    const chunks: Buffer[] = await request.toArray()
    if (chunks.length > 0) {
      // Who acts has made the link by then.
      t.equal(request.headers['helio-peer'], NONCE)
      t.equal(readlinkSync(join(dir, 'peer', NONCE)), NONCE)
      bodies.push(JSON.parse(Buffer.concat(chunks).toString()))
    }
    asked.push(`${request.method} ${request.url}`)
    const path = request.url?.split('?')[0] ?? ''
    if (path === '/v1/logs')
      return request.url?.includes('pod=p')
        ? response.end('one\ntwo\n')
        : response.writeHead(404).end('{"error":"pod web/x is not on this device","hint":"helio device pods lists them"}')
    const answer = answers[path]
    if (answer instanceof Error) return response.writeHead(409).end(JSON.stringify({ error: answer.message, hint: 'a hint' }))
    return response.end(JSON.stringify(answer))
  })
  await new Promise<void>(resolve => server.listen(join(dir, 'agent.sock'), resolve))
  t.teardown(() => new Promise(resolve => server.close(resolve)))
  return { dir, asked, bodies }
}

t.test('status says in lines what the device knows, and in JSON all of it', async t => {
  const { dir } = await listen(t)
  const { stdout, code } = await runHelio(['device', 'status'], dir)
  t.equal(code, 0)
  t.match(stdout, /Node: +edge-1\nServer: +https:\/\/10.0.0.1:6443 \(not connected, last contact 90 s ago: connection refused\)\n/)
  t.match(stdout, /Desired state: +generation 7 of epoch e1 \(aaaaaaaaaaaa\)\nPods: +1 of 2 ready\nHeld: .*\nRuntime: +crun:\/\/1.8.1\n/)
  t.match(stdout, /Link profile: +metered\n/)
  t.match(stdout, /Held: +web\/p by alice, \S+ ago: guard is open\n/)
  t.match(stdout, /Clock: +the clock of this machine is wrong; used instead: 2026-11-22T10:00:00Z\n/)
  t.match(stdout, /Warnings: +state was repaired\n +clock was behind\n/)
  t.same(JSON.parse((await runHelio(['device', 'status', '--output', 'json'], dir)).stdout), STATUS)
})

t.test('pods are a table, of one namespace when asked', async t => {
  const { dir } = await listen(t)
  t.match(
    (await runHelio(['device', 'pods'], dir)).stdout,
    /^NAMESPACE +NAME +READY +STATUS +RESTARTS +AGE\nweb +p +1\/1 +Running +3 +\S+\nother +q /,
  )
  t.notMatch((await runHelio(['device', 'pods', '-n', 'web'], dir)).stdout, /other/)
  t.equal(JSON.parse((await runHelio(['device', 'pods', '-o', 'json'], dir)).stdout).items.length, 2)
})

t.test('a form of output that a subcommand has not, and a name that is none, are refused before anything is asked', async t => {
  const { dir, asked } = await listen(t)
  for (const [line, form] of [
    ['status', 'wide'],
    ['hold p', 'name'],
    ['link', 'name'],
    ['logs p', 'json'],
  ] as const)
    t.match(await runHelio(['device', ...line.split(' '), '-o', form], dir), {
      code: 2,
      stderr: new RegExp(`device \\w+ has no --output ${form}\n`),
    })
  t.match(await runHelio(['device', 'hold', 'p', '-n', 'x y'], dir), {
    code: 2,
    stderr: /--namespace: "x y" is not a namespace’s name\nhint: lower case/,
  })
  t.same(asked, [])
  t.equal((await runHelio(['device', 'pods', '-o', 'name'], dir)).stdout, 'pod/p\npod/q\n')
})

t.test('below the table stands why pods do not run, a few of them', async t => {
  const waiting = (name: string, state: object, lastState: object = {}): object => ({
    ...POD,
    name,
    summary: 'Bad',
    ready: { ready: 0, total: 1 },
    status: { containerStatuses: [{ name: 'c', state, lastState }] },
  })
  const items = [
    waiting('a', { waiting: { reason: 'ImagePullBackOff', message: 'image "x" is not on this device' } }),
    waiting(
      'b',
      { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } },
      { terminated: { exitCode: 3, reason: 'Error', message: 'no modem\nat all' } },
    ),
    waiting('c', { terminated: { exitCode: 0, reason: 'Completed' } }),
    ...Array.from({ length: 12 }, (_, i) => waiting(`m${i}`, { waiting: { reason: 'X', message: 'why' } })),
  ]
  const { dir } = await listen(t, { '/v1/pods': { items } })
  const { stdout, stderr } = await runHelio(['device', 'pods'], dir)
  t.equal(stdout.split('\n').length, items.length + 2)
  t.match(stderr, 'web/a: image "x" is not on this device\n')
  t.match(stderr, 'web/b: container c ended with exit code 3 (Error): no modem; helio device logs b -n web\n')
  t.notMatch(stderr, 'web/c')
  t.match(stderr, 'and 4 pods more in trouble\n')
  t.equal((await runHelio(['device', 'pods', '-o', 'json'], dir)).stderr, '')
})

t.test('logs pass their options on; the agent’s refusal is printed with its hint', async t => {
  const { dir, asked } = await listen(t)
  t.equal((await runHelio(['device', 'logs', 'p', '-n', 'web', '--tail=2', '-p', '--since=1m'], dir)).stdout, 'one\ntwo\n')
  t.same(asked, ['GET /v1/logs?namespace=web&pod=p&previous=true&tail=2&sinceSeconds=60'])
  t.same(await runHelio(['device', 'logs', 'x', '-n', 'web'], dir), {
    code: 1,
    stdout: '',
    stderr: 'error: pod web/x is not on this device\nhint: helio device pods lists them\n',
  })
})

t.test('without an agent there is one line and a hint', async t => {
  const dir = '/nowhere'
  t.match(await runHelio(['device', 'status', '--data-dir', `/${'deep/'.repeat(20)}data`], dir), {
    code: 1,
    stderr: /longer than 107 bytes\nhint: use a data directory/,
  })
  t.match(await runHelio(['device', 'status'], '/nowhere'), {
    code: 1,
    stderr: /no agent is running there\nhint: \/nowhere is not the data folder of a device; give --data-dir DIR/,
  })
  t.match(await runHelio(['device', 'stauts'], dir), { code: 2, stderr: /did you mean status\?/ })
})

t.test('hold, resume and restart name the pod and prove who asks; nothing of the proof is left', async t => {
  const { dir, asked, bodies } = await listen(t, {
    '/v1/hold': STATUS.holds[0],
    '/v1/resume': STATUS.holds[0],
    '/v1/restart': { namespace: 'web', name: 'p', containers: ['one', 'two'] },
  })
  const done = await runHelio(['device', 'hold', 'pod/p', '-n', 'web', '--reason', 'guard is open'], dir)
  t.same(done, { code: 0, stdout: 'pod/p held\n', stderr: 'it stays stopped until: helio device resume p -n web\n' })
  t.same(JSON.parse((await runHelio(['device', 'hold', 'p', '-o', 'json'], dir)).stdout), STATUS.holds[0])
  t.equal((await runHelio(['device', 'resume', 'p', '-n', 'web'], dir)).stdout, 'pod/p resumed\n')
  t.equal((await runHelio(['device', 'restart', 'p', '-n', 'web', '-c', 'one'], dir)).stdout, 'pod/p restarting: one, two\n')
  t.same(bodies, [
    { namespace: 'web', pod: 'p', reason: 'guard is open' },
    { namespace: 'default', pod: 'p' },
    { namespace: 'web', pod: 'p' },
    { namespace: 'web', pod: 'p', container: 'one' },
  ])
  t.same(asked, ['POST /v1/hold', 'POST /v1/hold', 'POST /v1/resume', 'POST /v1/restart'])
  t.same(readdirSync(join(dir, 'peer')), [])
  t.match(await runHelio(['device', 'hold'], dir), { code: 2, stderr: /name the pod\nhint: helio device hold POD/ })
  t.match(await runHelio(['device', 'restart', 'p', 'q'], dir), { code: 2, stderr: /unexpected argument "q"/ })
})

t.test('resume without a pod takes the desired state of a restored server', async t => {
  const { dir, bodies } = await listen(t, { '/v1/resume': STATUS })
  t.match(await runHelio(['device', 'resume'], dir), { code: 0, stdout: 'the server’s desired state is accepted\n' })
  t.same(bodies, [{}])
})

t.test('what the agent refuses is one line and a hint', async t => {
  const { dir } = await listen(t, { '/v1/hold': new Error('act on this device: alice may only ask') })
  t.same(await runHelio(['device', 'hold', 'p'], dir), {
    code: 1,
    stdout: '',
    stderr: 'error: act on this device: alice may only ask\nhint: a hint\n',
  })
  t.same(readdirSync(join(dir, 'peer')), [])
})

t.test('sync says what came, or why nothing did', async t => {
  const result = {
    connected: true,
    wasConnected: false,
    error: null as string | null,
    conflict: null as string | null,
    before: 7 as number | null,
    after: 9 as number | null,
    podsBefore: 2,
    podsAfter: 3,
  }
  const run = async (over: Partial<typeof result>) =>
    runHelio(['device', 'sync'], (await listen(t, { '/v1/sync': { ...result, ...over } })).dir)
  t.match(await run({}), { code: 0, stdout: 'connected; generation 9 came, with 3 pods instead of 2\n' })
  t.match(await run({ wasConnected: true, after: 7, podsAfter: 2 }), { stdout: 'in contact; nothing new, generation 7 with 2 pods\n' })
  t.match(await run({ before: null, after: null }), { stdout: 'connected; the server has nothing for this device yet\n' })
  t.match(await run({ connected: false, error: 'connect ECONNREFUSED' }), {
    code: 1,
    stdout: '',
    stderr: 'error: sync: connect ECONNREFUSED\nhint: helio device doctor says what is in the way\n',
  })
  t.match(await run({ conflict: 'the server is older' }), { code: 1, stderr: /sync: the server is older\nhint: .*helio device resume/ })
})

const LINK = {
  uplink: 'wwan0',
  profile: 'metered',
  allowBulk: null,
  bulkRefusal: 'the profile is metered',
  ways: ['mqtt', 'ws'],
  connected: false,
  state: 'waiting',
  lastContactSeconds: 7500,
  lastError: 'connection refused',
  nextDialSeconds: 45,
  dials: 3,
  keepaliveSeconds: 1200,
  contactIntervalSeconds: null,
  dayEndsInSeconds: 3600,
  perPriority: {
    control: { sentBytes: 1500, receivedBytes: 20_000, budgetBytes: null, waiting: 0, dropped: 0 },
    status: { sentBytes: 30_000, receivedBytes: 2768, budgetBytes: 131_072, waiting: 2, dropped: 5 },
  },
}

t.test('link says what it costs and when it calls, and switches the profile', async t => {
  const { dir, bodies } = await listen(t, { '/v1/link': LINK })
  const { stdout } = await runHelio(['device', 'link'], dir)
  t.match(stdout, /Uplink: +wwan0\nProfile: +metered\nTransport: +mqtt, then ws\n/)
  t.match(stdout, /Contact: +not connected, last contact 2h5m ago: connection refused\nNext dial: +in 45s\nKeepalive: +20m\n/)
  t.match(stdout, /Bulk: +refused: the profile is metered\n/)
  t.match(
    stdout,
    /PRIORITY +SENT +RECEIVED +BUDGET +USED +WAITING +DROPPED\ncontrol +1.5kB +20kB +- +- +0 +0\nstatus +30kB +2.77kB +131kB +25% +2 +5\n/,
  )
  t.same(JSON.parse((await runHelio(['device', 'link', '-o', 'json'], dir)).stdout), LINK)
  t.same(bodies, [])
  await runHelio(['device', 'link', '--profile', 'metered', '--allow-bulk'], dir)
  await runHelio(['device', 'link', '--allow-bulk=false'], dir)
  t.same(bodies, [{ profile: 'metered', allowBulk: true }, { allowBulk: false }])
  t.match(await runHelio(['device', 'link', '--profile', 'cheap'], dir), { code: 2, stderr: /one of lan, normal, metered/ })
})

t.test('doctor says what is wrong and what to do, a line each; the exit code tells scripts', async t => {
  const problem = { rule: 'image-missing', level: 'problem', what: 'image a:1 is not on this device', todo: 'bring it' }
  const note = { rule: 'warning', level: 'note', what: 'state was repaired', todo: 'see the log' }
  const run = async (items: unknown[], ...flags: string[]) =>
    runHelio(['device', 'doctor', ...flags], (await listen(t, { '/v1/doctor': { items } })).dir)
  t.same(await run([problem, note]), {
    code: 1,
    stdout: 'problem: image a:1 is not on this device; bring it\nnote: state was repaired; see the log\n',
    stderr: 'error: one problem keeps this device from what is desired of it\n',
  })
  t.match(await run([note]), { code: 0, stdout: 'note: state was repaired; see the log\n' })
  t.same(await run([]), { code: 0, stdout: '', stderr: 'nothing keeps this device from what is desired of it\n' })
  t.same(JSON.parse((await run([problem], '-o', 'json')).stdout), { items: [problem] })
  t.same(await run([], '-o', 'json'), { code: 0, stdout: '{\n    "items": []\n}\n', stderr: '' })
})
