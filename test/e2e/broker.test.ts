// Devices that reach their server through somebody else's broker alone: the real executable, Debian's mosquitto with the files that
// `helio broker config` writes, broker and server killed under it.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { systemClock } from '../../src/host/clock.ts'
import { NO_MOSQUITTO, openMosquitto } from '../contract/mosquitto.ts'
import { type CommandResult, freePort, helio, type Running, startAgent, startServer, temporaryDir, wipe } from './cluster.ts'

/** After this long a wait has failed, on the slowest machine too. */
const PATIENCE_MS = 240_000

const until = async (what: string, check: () => Promise<boolean>): Promise<void> => {
  const endMs = systemClock.mono() + PATIENCE_MS
  while (!(await check())) if (systemClock.mono() > endMs) throw new Error(`waited in vain: ${what}`)
}

const manifest = (word: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: word}
spec:
  replicas: 2
  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}
  selector: {matchLabels: {app: word}}
  template:
    metadata: {labels: {app: word}}
    spec:
      terminationGracePeriodSeconds: 1
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: word}}}
      containers:
      - name: main
        image: heliopause.local/word:1
        command: [sh, -c, "echo ${word}; exec sleep 100000"]
`

t.test('two devices behind a broker', { skip: NO_MOSQUITTO, timeout: 600_000 }, async t => {
  const dir = temporaryDir()
  const data = join(dir, 'server')
  const port = await freePort()
  const flags = ['--no-agent', '--cluster-cidr', '10.171.0.0/16']
  const roles: Running[] = []
  t.teardown(async () => {
    for (const role of roles) await role.kill()
    wipe(dir)
  })
  const started = async (role: Promise<Running>): Promise<Running> => {
    const running = await role
    roles.push(running)
    return running
  }
  const call = async (...args: string[]): Promise<CommandResult> => {
    const result = await helio(...args, '--data-dir', data)
    t.equal(result.code, 0, `${args.join(' ')}: ${result.stderr.slice(-500)}`)
    return result
  }
  // Once without a broker, for the keys it takes its files from.
  await (await started(startServer(data, port, ...flags))).kill()
  const mosquitto = await openMosquitto(data)
  t.teardown(mosquitto.close)
  const serve = (): Promise<Running> => started(startServer(data, port, ...flags, '--mqtt-broker', mosquitto.url))
  const server = await serve()
  const image = join(dir, 'word.tar')
  await writeImage(image, { name: 'heliopause.local/word:1', files: [] })
  const token = readFileSync(join(data, 'join-token'), 'utf8').trim()
  const devices = ['edge-1', 'edge-2']
  for (const name of devices) {
    const folder = join(dir, name)
    const joining = ['--server', server.url, '--token', token, '--node-name', name, '--link', 'mqtt', '--runtime', 'process']
    await started(startAgent(folder, ...joining))
    t.equal((await helio('image', 'import', image, '--data-dir', folder)).code, 0)
  }
  const rows = async (): Promise<string[]> =>
    (await call('get', 'pods', '-o', 'wide', '--no-headers')).stdout.trim().split('\n').filter(Boolean)
  const allRun = async (count: number): Promise<boolean> => {
    const pods = await rows()
    return pods.length === count && pods.every(row => / 1\/1 +Running /.test(row))
  }
  const apply = async (word: string): Promise<void> => {
    writeFileSync(join(dir, 'word.yaml'), manifest(word))
    await call('apply', '-f', join(dir, 'word.yaml'))
  }
  const says = async (word: string): Promise<boolean> => {
    const pods = await rows()
    if (pods.length !== 2 || !pods.every(row => / 1\/1 +Running /.test(row))) return false
    const logs = await Promise.all(pods.map(row => helio('logs', row.split(/\s+/)[0]!, '--data-dir', data)))
    return logs.every(({ stdout }) => stdout === `${word}\n`)
  }
  const nodesOf = async (): Promise<Set<string>> => new Set((await rows()).flatMap(row => devices.filter(name => row.includes(name))))

  await until('both nodes', async () => (await call('get', 'nodes', '--no-headers')).stdout.match(/ Ready /g)?.length === 2)
  await apply('first')
  await until('the pods', () => allRun(2))
  t.same(await nodesOf(), new Set(devices), 'one on each device')
  await until('their logs', () => says('first'))
  t.match(mosquitto.log(), /system:node:edge-1\/up/, 'it all went through the broker')
  t.notMatch(mosquitto.log(), /Denied PUBLISH/, 'and nothing was refused by its rules')

  await t.test('the broker is killed and comes back empty', async t => {
    await mosquitto.kill()
    await apply('second')
    await mosquitto.start()
    await until('the change on both devices', () => says('second'))
    t.pass()
  })

  await t.test('the server is stopped and started', async t => {
    t.equal(await server.stop(), 0, server.stderr().slice(-500))
    const again = await serve()
    await apply('third')
    await until('the change on both devices', () => says('third'))
    t.equal(await again.stop(), 0, again.stderr().slice(-500))
  })

  await t.test('a device without its server keeps what runs, and says what is amiss', async t => {
    const status = async (): Promise<string> => (await helio('device', 'status', '--data-dir', join(dir, 'edge-1'))).stdout
    await until('the device notices', async () => /the server does not answer/.test(await status()))
    t.match((await helio('device', 'pods', '--data-dir', join(dir, 'edge-1'))).stdout, /Running/)
    await serve()
    await apply('fourth')
    await until('the change on both devices', () => says('fourth'))
    await call('delete', '-f', join(dir, 'word.yaml'))
    await until('nothing left', async () => (await rows()).length === 0)
  })
})
