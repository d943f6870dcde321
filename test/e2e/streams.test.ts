// exec, attach, port-forward and cp with the real executable, by stock kubectls of four versions and by helio itself, through a device in a
// network of its own that lets no connection in: it only dials. Over each transport of the link.

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemExec } from '../../src/host/exec.ts'
import { freePort, HELIO, helio, type Running, run, SELF, startAs, startServer, temporaryDir, wipe } from './cluster.ts'

const KUBECTLS = ['1.27', '1.29', '1.31', '1.33'].flatMap(version => {
  const found = readdirSync('/usr/lib').flatMap(name => {
    const path = join('/usr/lib', name, 'bin', `kubectl.${version}`)
    return existsSync(path) ? [path] : []
  })
  return found.slice(0, 1).map(path => ({ version, path }))
})
const TOOLS = ['ip', 'nft', 'nsenter', 'crun', 'conmon', 'script', 'busybox']
const able = process.getuid?.() === 0 && TOOLS.every(name => systemExec.find(name) !== undefined)
if (!able || KUBECTLS.length === 0) console.error(`SKIPPED LOUDLY: streams need root, ${TOOLS.join(', ')} and stock kubectls`)
const skip = able ? false : `needs root and ${TOOLS.join(', ')}`

const PATIENCE_MS = 240_000
const until = async (what: string, check: () => Promise<boolean>): Promise<void> => {
  const endMs = systemClock.mono() + PATIENCE_MS
  while (!(await check())) if (systemClock.mono() > endMs) throw new Error(`waited in vain: ${what}`)
}

const NETNS = `helio-st-${process.pid}`
const [OUTSIDE, INSIDE] = ['10.218.255.1', '10.218.255.2']

const must = async (command: string, ...args: string[]): Promise<string> => {
  const done = await run(systemExec.find(command) ?? command, args)
  if (done.code !== 0) throw new Error(`${command} ${args.join(' ')}: ${done.stderr}`)
  return done.stdout
}

/** A network with a way out and none in. */
const openNetwork = async (): Promise<void> => {
  const link = `hst${process.pid}`.slice(0, 14)
  await must('ip', 'netns', 'add', NETNS)
  await must('ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'up0', 'netns', NETNS)
  await must('ip', 'addr', 'add', `${OUTSIDE}/30`, 'dev', link)
  await must('ip', 'link', 'set', link, 'up')
  for (const words of ['addr add 10.218.255.2/30 dev up0', 'link set up0 up', 'link set lo up'])
    await must('ip', '-n', NETNS, ...words.split(' '))
  const rules = `table inet closed { chain input { type filter hook input priority 0; policy drop
    ct state established,related accept
    iifname != "up0" accept
  }
}`
  const done = await run(systemExec.find('ip')!, ['netns', 'exec', NETNS, systemExec.find('nft')!, '-f', '-'], rules)
  if (done.code !== 0) throw new Error(`nft: ${done.stderr}`)
}

const POD = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: heliopause.local/web:1
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {httpGet: {port: 8080}}
    command:
    - /bin/sh
    - -c
    - |
      for each in tar test seq; do busybox ln -s busybox /bin/$each; done
      mkdir -p /w /l && echo everywhere > /w/index.html && echo inside > /l/index.html
      httpd -p 127.0.0.1:8081 -h /l
      trap 'exit 0' TERM
      while :; do sleep 1; echo tick; echo tock >&2; done &
      exec httpd -f -p 8080 -h /w
`

interface World {
  readonly link: string
  readonly dir: string
  readonly kubeconfig: string
  readonly roles: Running[]
}

const openWorld = async (link: string): Promise<World> => {
  const dir = temporaryDir()
  const [server, device] = [join(dir, 'server'), join(dir, 'device')]
  const world: World = { link, dir, kubeconfig: join(server, 'kubeconfig'), roles: [] }
  const [port, mqttPort] = [await freePort(), await freePort()]
  const flags = ['--no-agent', '--bind', '0.0.0.0', '--cluster-cidr', '10.218.0.0/17', '--mqtt-port', String(mqttPort)]
  world.roles.push(await startServer(server, port, ...flags))
  const image = join(dir, 'web.tar')
  await writeImage(image, { name: 'heliopause.local/web:1', cmd: ['/bin/sh'] })
  const imported = await helio('image', 'import', image, '--data-dir', device)
  if (imported.code !== 0) throw new Error(imported.stderr)
  const token = readFileSync(join(server, 'join-token'), 'utf8').trim()
  const actor = { command: systemExec.find('nsenter')!, args: [`--net=/run/netns/${NETNS}`, '--', SELF.command, ...SELF.args] }
  const joining = ['--server', `https://${OUTSIDE}:${port}`, '--token', token, '--node-name', 'far']
  world.roles.push(await startAs(actor, 'agent', '--data-dir', device, ...joining, '--link', link))
  return world
}

const closeWorld = async ({ roles, dir, kubeconfig }: World): Promise<void> => {
  await helio('delete', 'pod', 'web', '--kubeconfig', kubeconfig, '--timeout', '20s')
  for (const role of roles.reverse()) await role.stop()
  wipe(join(dir, 'device'))
  wipe(dir)
}

/** A program's output as bytes, with bytes for its input. */
const bytesOf = (command: string, args: readonly string[], input: Buffer, env: Record<string, string> = {}): Promise<[Buffer, number]> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } })
    const chunks: Buffer[] = []
    child.stdout.on('data', chunk => chunks.push(chunk))
    child.on('error', reject)
    child.on('close', code => resolve([Buffer.concat(chunks), code ?? 128]))
    child.stdin.on('error', () => child.stdin.destroy())
    child.stdin.end(input)
  })

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** Runs a line on a terminal of 33 rows and 101 columns. */
const onTerminal = async (words: readonly string[], env: Record<string, string>): Promise<{ code: number; stdout: string }> => {
  const line = words.map(word => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
  const shown = await run('script', ['-qfec', `stty rows 33 cols 101; exec ${line}`, '/dev/null'], '', env)
  return { code: shown.code, stdout: shown.stdout.replaceAll('\r', '') }
}

const get = (port: number, path = '/'): Promise<string> =>
  new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, agent: false }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve(text))
    })
    call.on('error', reject)
    call.end()
  })

/** Starts a port-forward and settles with its local ports once it says that it listens. */
const forward = (command: string, args: readonly string[], count: number, env: Record<string, string>): Promise<[ChildProcess, number[]]> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    const said = { out: '', err: '' }
    child.stderr.on('data', chunk => {
      said.err += chunk
    })
    child.stdout.on('data', chunk => {
      said.out += chunk
      const ports = [...said.out.matchAll(/Forwarding from 127\.0\.0\.1:(\d+) ->/g)].map(match => Number(match[1]))
      if (ports.length >= count) resolve([child, ports])
    })
    child.on('exit', code => reject(new Error(`port-forward ended with ${code}: ${said.err}`)))
  })

interface Client {
  readonly name: string
  /** The words before a verb. */
  readonly words: readonly string[]
}

const BIG = randomBytes(10_000_000)

const commands = async (t: Test, client: Client, env: Record<string, string>): Promise<void> => {
  const [command = '', ...first] = client.words
  const exec = (...args: string[]) => run(command, [...first, 'exec', ...args], '', env)
  const plain = await exec('web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3')
  t.match(plain, { code: 3, stdout: 'out\n', stderr: /^err\n[\s\S]*exit code 3/ }, 'outputs apart, the code passed on')
  t.match(await exec('web', '--', 'sh', '-c', 'echo again > /dev/stderr'), { code: 0, stderr: /again/ }, 'outputs can be opened anew')
  const missing = await exec('web', '--', 'not-there')
  t.not(missing.code, 0)
  t.match(missing.stderr, /not-there.* not found/)
  t.match((await exec('web', '-c', 'nobody', '--', 'ls')).stderr, /container nobody is not valid for pod web/)
  t.match((await exec('nobody', '--', 'ls')).stderr, /pods "nobody" not found/)
  const shown = await onTerminal(
    [
      ...client.words,
      'exec',
      '-it',
      'web',
      '--',
      'sh',
      '-c',
      'until [ "$(stty size 2>&1)" = "33 101" ]; do sleep 0.1; done; stty size; tty; exit 5',
    ],
    env,
  )
  t.match(shown, { code: 5, stdout: /33 101[\s\S]*\/dev\/pts\/\d/ }, 'a terminal of the size of the one here')
  const [echoed, code] = await bytesOf(command, [...first, 'exec', '-i', 'web', '--', 'cat'], BIG, env)
  t.same([digest(echoed), code], [digest(BIG), 0], '10 MB there and back, and the end of the input')
}

const forwards = async (t: Test, client: Client, env: Record<string, string>): Promise<void> => {
  const [command = '', ...first] = client.words
  const [child, [everywhere = 0, inside = 0]] = await forward(command, [...first, 'port-forward', 'pod/web', ':8080', ':8081'], 2, env)
  try {
    const answers = await Promise.all([1, 2, 3, 4].map(() => get(everywhere)))
    t.same(answers, Array(4).fill('everywhere\n'), 'several connections at once')
    t.equal(await get(everywhere), 'everywhere\n', 'and one after them')
    t.equal(await get(inside), 'inside\n', 'a port of the pod’s loopback')
  } finally {
    child.removeAllListeners('exit')
    const gone = new Promise(resolve => child.on('exit', resolve))
    child.kill('SIGTERM')
    await gone
  }
}

const copies = async (t: Test, client: Client, dir: string, env: Record<string, string>): Promise<void> => {
  const [command = '', ...first] = client.words
  const here = join(dir, `copy-${client.name}`)
  mkdirSync(join(here, 'tree/deep'), { recursive: true })
  writeFileSync(join(here, 'tree/deep/file'), BIG.subarray(0, 1_000_000))
  const cp = (from: string, to: string) => run(command, [...first, 'cp', from, to], '', env)
  t.match(await cp(join(here, 'tree'), `web:/w/${client.name}`), { code: 0 })
  t.match(await cp(`web:/w/${client.name}`, join(here, 'back')), { code: 0 })
  t.equal(digest(readFileSync(join(here, 'back/deep/file'))), digest(BIG.subarray(0, 1_000_000)), 'there and back')
}

/** What a container may send to `helio cp`: links out of it are left out. */
const hostileCopy = async (t: Test, dir: string, env: Record<string, string>): Promise<void> => {
  const make = 'mkdir -p /w/bad && ln -s /etc/passwd /w/bad/out && ln -s ../../.. /w/bad/up && ln -s file /w/bad/in && echo f > /w/bad/file'
  t.match(
    await run(HELIO, ['exec', 'web', '--', 'sh', '-c', `alias ln="busybox ln"; ${make.replaceAll('ln -s', 'busybox ln -s')}`], '', env),
    { code: 0 },
  )
  const copied = await run(HELIO, ['cp', 'web:/w/bad', join(dir, 'bad')], '', env)
  t.match(copied, { code: 0, stderr: /skipped bad\/out: the link leads out[\s\S]*skipped bad\/up|skipped bad\/up[\s\S]*skipped bad\/out/ })
  t.same(readdirSync(join(dir, 'bad')).sort(), ['file', 'in'])
  t.equal(readlinkSync(join(dir, 'bad/in')), 'file')
}

/** An exec whose client is killed does not stay in the container. */
const killedClient = async (t: Test, kubectl: string, env: Record<string, string>): Promise<void> => {
  const child = spawn(kubectl, ['exec', '-i', 'web', '--', 'sh', '-c', 'echo up; exec sleep 86399'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, ...env },
  })
  await new Promise(resolve => child.stdout.once('data', resolve))
  // Input that the command never reads: the connection is not read either, and still its end is noticed.
  child.stdin.on('error', () => child.stdin.destroy())
  child.stdin.write(BIG)
  child.kill('SIGKILL')
  await until('the command is gone with its client', async () => {
    const seen = await run(HELIO, ['exec', 'web', '--', 'sh', '-c', 'ps | grep -c "sleep 8639[9]"'], '', env)
    return seen.stdout.trim() === '0'
  })
  t.pass('gone')
}

const attached = (t: Test, command: string, args: readonly string[], env: Record<string, string>): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    const said = { out: '', err: '' }
    const look = (): void => {
      if (!said.out.includes('tick\n') || !said.err.includes('tock\n')) return
      t.notMatch(said.out, /tock/, 'each output by itself')
      child.kill('SIGKILL')
      resolve()
    }
    child.stdout.on('data', chunk => {
      said.out += chunk
      look()
    })
    child.stderr.on('data', chunk => {
      said.err += chunk
      look()
    })
    child.on('exit', code => (code === null ? undefined : reject(new Error(`attach ended with ${code}: ${said.err}`))))
  })

t.setTimeout(300_000)
t.before(async () => {
  if (able) await openNetwork()
})
t.teardown(async () => {
  if (able) await must('ip', 'netns', 'delete', NETNS)
})

for (const link of ['ws', 'mqtt']) {
  t.test(`over ${link}`, { skip }, async t => {
    const world = await openWorld(link)
    t.teardown(() => closeWorld(world))
    const env = { KUBECONFIG: world.kubeconfig, HOME: world.dir }
    const manifest = join(world.dir, 'pod.yaml')
    writeFileSync(manifest, POD)
    t.match(await helio('apply', '-f', manifest, '--kubeconfig', world.kubeconfig), { code: 0 })
    await until('the pod is ready', async () => (await helio('get', 'pod', 'web', '--kubeconfig', world.kubeconfig)).stdout.includes('1/1'))
    const inbound = await run('ping', ['-c', '1', '-W', '1', INSIDE]).catch(() => ({ code: 1 }))
    t.not(inbound.code, 0, 'nothing reaches the device from outside')
    // One of each kind of client where the transport is all that differs.
    const kubectls = link === 'ws' ? KUBECTLS : KUBECTLS.filter(({ version }) => version === '1.27' || version === '1.33')
    const clients: Client[] = [
      { name: 'helio', words: [HELIO] },
      ...kubectls.map(({ version, path }) => ({ name: `kubectl-${version}`, words: [path] })),
    ]
    for (const client of clients) {
      await t.test(`${client.name}: exec`, t => commands(t, client, env))
      await t.test(`${client.name}: port-forward`, t => forwards(t, client, env))
      await t.test(`${client.name}: cp`, t => copies(t, client, world.dir, env))
    }
    if (link !== 'ws') return
    await t.test('a container cannot write where it should not', t => hostileCopy(t, world.dir, env))
    for (const { version, path } of KUBECTLS)
      await t.test(`kubectl-${version}: killed, it takes its command along`, t => killedClient(t, path, env))
    for (const { version, path } of KUBECTLS.slice(-1)) {
      await t.test(`kubectl-${version}: attach`, t => attached(t, path, ['attach', 'web'], env))
      await t.test('logs of an earlier run that was none', async t => {
        const none = await run(path, ['logs', 'web', '--previous'], '', env)
        t.match(none.stderr, /\(BadRequest\): previous terminated container "web" in pod "web" not found/)
      })
    }
    await t.test('helio: attach', t => attached(t, HELIO, ['attach', 'web'], env))
    await t.test('a device that is away is named, with when it was seen', async t => {
      await world.roles.pop()?.stop()
      await until('the server knows', async () => {
        const away = await run(HELIO, ['exec', 'web', '--', 'ls'], '', env)
        return away.code === 1 && /node far is not connected, last seen \d+[smh]/.test(away.stderr)
      })
      for (const { path } of KUBECTLS) {
        const away = await run(path, ['exec', 'web', '--', 'ls'], '', env)
        t.match(away, { code: 1, stderr: /ServiceUnavailable.*pod web cannot be reached: node far is not connected, last seen/ })
      }
    })
  })
}
