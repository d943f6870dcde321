// The operator at the device, end to end with the real executable and real containers: every verb with the server and without it, a hold
// across an agent that was killed, lifted from the server, and another user who may ask but not act.

import { chmodSync, copyFileSync, cpSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { systemClock } from '../../src/host/clock.ts'
import type { DeviceFinding, DeviceLinkView, DevicePod, DeviceStatus } from '../../src/kinds/device-shapes.ts'
import { Client } from './client.ts'
import {
  type Actor,
  type CommandResult,
  freePort,
  HELIO,
  type Running,
  run,
  runAs,
  SELF,
  startAgent,
  startServer,
  temporaryDir,
  wipe,
} from './cluster.ts'

/** After this long a wait has failed, on the slowest machine too. */
const PATIENCE_MS = 240_000
const NOBODY = { uid: 65534, gid: 65534 }

const until = async (what: string, check: () => Promise<boolean>): Promise<void> => {
  const endMs = systemClock.mono() + PATIENCE_MS
  while (!(await check())) if (systemClock.mono() > endMs) throw new Error(`waited in vain: ${what}`)
}

const pod = (name: string, image: string, command: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: default}
spec:
  nodeName: edge-1
  terminationGracePeriodSeconds: 5
  containers:
  - name: main
    image: ${image}
    command: [sh, -c, "${command}"]
`
const RUNS = "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.1; done"

const skip = process.getuid?.() !== 0 && 'NOT ROOT: real containers need it'

t.setTimeout(300_000)

t.test('an operator at the device', { skip }, async t => {
  const dir = temporaryDir()
  const [cluster, device] = [join(dir, 'server'), join(dir, 'device')]
  const roles: Running[] = []
  t.teardown(async () => {
    for (const role of roles) await role.kill()
    wipe(device)
    wipe(dir)
  })
  chmodSync(dir, 0o711)
  const kept = async (role: Promise<Running>): Promise<Running> => {
    roles.push(await role)
    return role
  }
  const port = await freePort()
  const serve = (): Promise<Running> => kept(startServer(cluster, port, '--no-agent', '--cluster-cidr', '10.93.0.0/16'))
  const server = await serve()
  const token = readFileSync(join(cluster, 'join-token'), 'utf8').trim()
  const groups = ['--socket-group', 'nogroup']
  const agent = await kept(startAgent(device, '--server', server.url, '--token', token, '--node-name', 'edge-1', ...groups))

  const asked = (actor: Actor, ...words: string[]): Promise<CommandResult> => {
    const end = words.indexOf('--')
    const at = end === -1 ? words.length : end
    return runAs(actor, ['device', ...words.slice(0, at), '--data-dir', device, ...words.slice(at)])
  }
  const tell = (...words: string[]): Promise<CommandResult> => asked(SELF, ...words)
  const ok = async (...words: string[]): Promise<string> => {
    const { code, stdout, stderr } = await tell(...words)
    t.equal(code, 0, `device ${words.join(' ')}: ${stderr}`)
    return stdout
  }
  const json = async <T>(...words: string[]): Promise<T> => JSON.parse((await tell(...words, '--output', 'json')).stdout) as T
  const find = async (name: string): Promise<DevicePod | undefined> =>
    (await json<{ items: DevicePod[] }>('pods')).items.find(each => each.name === name)
  const central = (...words: string[]): Promise<CommandResult> => runAs(SELF, [...words, '--kubeconfig', join(cluster, 'kubeconfig')])

  const archive = join(dir, 'app.tar')
  await writeImage(archive, { name: 'heliopause.local/app:1', files: [{ path: 'motto', text: 'small is enough\n' }] })
  t.equal((await runAs(SELF, ['image', 'import', archive, '--data-dir', device])).code, 0)
  const app = 'heliopause.local/app:1'
  const manifests = [pod('press', app, RUNS), pod('crash', app, 'echo no modem; exit 3'), pod('lost', 'heliopause.local/lost:1', 'true')]
  const applied = await runAs(SELF, ['apply', '-f', '-', '--kubeconfig', join(cluster, 'kubeconfig')], manifests.join('---'))
  t.equal(applied.code, 0, applied.stderr)
  await until('press runs', async () => (await find('press'))?.summary === 'Running')
  await until('crash loops', async () => (await find('crash'))?.summary === 'CrashLoopBackOff')

  const rules = async (): Promise<string[]> => (await json<{ items: DeviceFinding[] }>('doctor')).items.map(each => each.rule)

  /** What an operator can do whether there is a server or not. */
  const walk = async (): Promise<void> => {
    t.match(await ok('status'), /^Node: +edge-1\n/)
    t.match(await ok('pods'), /default +press +1\/1 +Running/)
    t.match(await ok('logs', 'press'), 'hello\n')
    t.equal(await ok('exec', 'press', '--', 'cat', '/motto'), 'small is enough\n')
    t.equal((await tell('exec', 'press', '--', 'sh', '-c', 'exit 7')).code, 7, 'the code of the command')
    const cat = ['device', 'exec', '-i', 'press', '--data-dir', device, '--', 'cat']
    t.equal((await runAs(SELF, cat, 'through and back')).stdout, 'through and back', 'standard input')
    const line = [SELF.command, ...SELF.args, 'device', 'exec', '-it', 'press', '--data-dir', device, '--', 'sh', '-c', "'tty; exit 5'"]
    t.match(await run('script', ['-qec', line.join(' '), '/dev/null']), { code: 5, stdout: /\/dev\/pts\/\d+/ }, 'a terminal')
    t.match(await tell('exec', 'lost', '--', 'true'), { code: 1, stderr: /container not found/ })
    const restarts = (await find('press'))?.restarts ?? 0
    t.equal(await ok('restart', 'press'), 'pod/press restarting: main\n')
    await until(
      'press was restarted',
      async () => (await find('press'))?.restarts === restarts + 1 && (await find('press'))?.summary === 'Running',
    )
    t.equal(await ok('hold', 'press', '--reason', 'guard is open'), 'pod/press held\n')
    await until('press is held', async () => (await find('press'))?.containers[0]?.state === 'waiting')
    t.match(await find('press'), { summary: 'Held', status: { phase: 'Running' } })
    t.match(await tell('exec', 'press', '--', 'true'), { code: 1, stderr: /container not found/ })
    t.match(await ok('status'), /Held: +default\/press by root, \S+ ago: guard is open\n/)
    t.ok((await rules()).includes('held'))
    t.equal(await ok('resume', 'press'), 'pod/press resumed\n')
    await until('press runs again', async () => (await find('press'))?.summary === 'Running')
    t.match(await tell('resume', 'press'), { code: 1, stderr: /it is not held\nhint:/ })
    t.match(await ok('link', '--profile', 'metered'), /Profile: +metered\n/)
    t.equal((await json<DeviceLinkView>('link')).profile, 'metered')
    await ok('link', '--profile', 'lan')
    // The crash may just be running again; most of the time it waits.
    const looping =
      /problem: container main of default\/crash ends again and again \(exit code 3\).*; its last words: no modem; helio device logs/
    const lost = /problem: image heliopause.local\/lost:1 is not on this device; wanted by default\/lost; bring it: helio image import/
    await until('the doctor finds the crash', async () => looping.test((await tell('doctor')).stdout))
    t.match(await tell('doctor'), { code: 1, stdout: lost })
  }

  t.comment('with the server')
  await until('contact', async () => (await json<DeviceStatus>('status')).server.connected)
  t.match(await ok('sync'), /^in contact; nothing new, generation \d+ with 3 pods\n$/)
  await walk()
  t.notOk((await rules()).includes('no-contact'))

  const client = await Client.open(join(cluster, 'kubeconfig'))
  const { text } = await client.request('GET', '/metrics')
  client.close()
  t.match(text, /^helio_devices_connected 1$/m)
  t.match(text, /^helio_link_frame_bytes_total\{priority="status",direction="received"\} [1-9]/m)
  t.match(text, /^helio_store_commits_total [1-9]/m)

  t.comment('without it')
  await server.kill()
  await until('no contact', async () => !(await json<DeviceStatus>('status')).server.connected)
  t.match(await tell('sync'), { code: 1, stdout: '', stderr: /error: sync: .*connection refused\nhint: helio device doctor/ })
  await walk()
  const finding = (await json<{ items: DeviceFinding[] }>('doctor')).items.find(each => each.rule === 'no-contact')
  t.match(finding, { level: 'problem', what: /nothing listens there/ })

  t.comment('a hold outlives the agent')
  await ok('hold', 'press', '--reason', 'guard is open')
  await until('press is held', async () => (await find('press'))?.containers[0]?.state === 'waiting')
  await agent.kill()
  t.match(await tell('doctor'), { code: 1, stderr: /no agent is running there\nhint: start it: helio agent/ })
  const again = await kept(startAgent(device, ...groups))
  t.match(await find('press'), { summary: 'Held' })
  t.match(await json<DeviceStatus>('status'), { holds: [{ name: 'press', by: 'root', reason: 'guard is open' }] })

  t.comment('the server learns of it, and lifts it')
  await serve()
  await ok('sync')
  const listed = /NAME +NODE +BY +AGE +ID +REASON\npress +edge-1 +root .* guard is open\n/
  await until('the server shows the hold', async () => listed.test((await central('hold', 'list')).stdout))
  t.match((await central('get', 'pod', 'press')).stdout, /Held/)
  t.match(await central('hold', 'lift', 'press'), { code: 0, stdout: 'pod/press hold lifted\n' })
  await until('press runs again', async () => (await find('press'))?.summary === 'Running')
  t.same((await json<DeviceStatus>('status')).holds, [])
  await until('the server forgets the hold', async () => (await central('hold', 'list')).stdout === '')

  t.comment('a command that is open does not keep the agent from ending')
  const open = tell('exec', 'press', '--', 'sh', '-c', 'echo yes > /begun; sleep 600')
  await until('the command runs', async () => (await tell('exec', 'press', '--', 'cat', '/begun')).code === 0)
  t.equal(await again.stop(), 0)
  t.match(await open, { code: 1, stderr: /the agent broke off/ })
  await kept(startAgent(device, ...groups))

  t.comment('another user')
  cpSync(dirname(HELIO), join(dir, 'dist'), { recursive: true })
  copyFileSync(SELF.command === HELIO ? process.execPath : SELF.command, join(dir, 'node'))
  chmodSync(join(dir, 'node'), 0o755)
  const nobody: Actor = { ...NOBODY, command: join(dir, 'node'), args: [join(dir, 'dist/helio')] }
  t.match(await asked(nobody, 'status'), { code: 0, stdout: /Node: +edge-1/ }, 'a member of the group may ask')
  for (const words of [
    ['hold', 'press'],
    ['restart', 'press'],
    ['resume'],
    ['sync'],
    ['link', '--profile', 'metered'],
    ['exec', 'press', '--', 'id'],
  ])
    t.match(
      await asked(nobody, ...words),
      { code: 1, stderr: /error: act on this device: nobody may only ask\nhint: .*--operator-group/ },
      `and not ${words.join(' ')}`,
    )
  const stranger: Actor = { ...nobody, uid: 65533, gid: 65533 }
  t.match(await asked(stranger, 'status'), { code: 1, stderr: /permission denied\nhint: run as root/ }, 'anybody else may not even ask')
  t.match(await find('press'), { summary: 'Running' })
})
