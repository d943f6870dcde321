// MQTT with the real executable: a device that knows no other way runs a pod and answers for it, one that knows two moves over when one
// is closed, and a stock client sees of the server what its certificate allows and no more.

import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { writeImage } from '../../scripts/oci-image.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemPki } from '../../src/host/pki.ts'
import { clusterIdOf } from '../../src/link/transports/index.ts'
import { type CommandResult, freePort, helio, type Running, run, startAgent, startServer, temporaryDir, wipe } from './cluster.ts'

const PATIENCE_MS = 240_000

const until = async (what: string, check: () => Promise<boolean>): Promise<void> => {
  const endMs = systemClock.mono() + PATIENCE_MS
  while (!(await check())) if (systemClock.mono() > endMs) throw new Error(`waited in vain: ${what}`)
}

/** A port in front of another that can be closed and opened, with all that runs through it. */
const openGate = async (to: number) => {
  const sockets = new Set<{ destroy(): void }>()
  const state = { open: true, passed: 0 }
  const server = createServer(near => {
    if (!state.open) {
      near.destroy()
      return
    }
    state.passed++
    const far = connect(to, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    near.pipe(far)
    far.pipe(near)
  })
  const port = await freePort()
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port,
    state,
    shut() {
      state.open = false
      cut()
    },
    unlock() {
      state.open = true
    },
    close() {
      server.close()
      cut()
    },
  }
}

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  nodeName: tower-1
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: "heliopause.local/web:1", command: [sh, -c, "cat /motto && exec tail -f /dev/null"]}
`

const world = { dir: '', data: '', device: '', port: 0, mqttPort: 0, roles: [] as Running[] }

t.before(async () => {
  world.dir = temporaryDir()
  world.data = join(world.dir, 'server')
  world.device = join(world.dir, 'device')
  world.port = await freePort()
  world.mqttPort = await freePort()
  world.roles.push(
    await startServer(world.data, world.port, '--no-agent', '--mqtt-port', String(world.mqttPort), '--cluster-cidr', '10.207.0.0/16'),
  )
})

t.teardown(async () => {
  for (const role of world.roles) await role.kill()
  wipe(world.device)
  wipe(world.dir)
})

const ask = async (...args: string[]): Promise<CommandResult> => helio(...args, '--data-dir', world.data)
const isReady = async (): Promise<boolean> => /tower-1 +Ready/.test((await ask('get', 'nodes')).stdout)
const token = (): string => readFileSync(join(world.data, 'join-token'), 'utf8').trim()

t.test('a device with MQTT alone runs a pod and answers for its logs', async t => {
  const flags = ['--node-name', 'tower-1', '--runtime', 'process', '--link', 'mqtt']
  const agent = await startAgent(world.device, '--server', `https://127.0.0.1:${world.port}`, '--token', token(), ...flags)
  world.roles.push(agent)
  await until('the node', isReady)
  await writeImage(join(world.dir, 'web.tar'), { name: 'heliopause.local/web:1', files: [{ path: 'motto', text: 'small is enough\n' }] })
  writeFileSync(join(world.dir, 'web.yaml'), pod)
  t.equal((await helio('image', 'import', join(world.dir, 'web.tar'), '--data-dir', world.device)).code, 0)
  t.equal((await ask('apply', '-f', join(world.dir, 'web.yaml'))).code, 0)
  await until('the pod', async () => /web +1\/1 +Running/.test((await ask('get', 'pods')).stdout))
  t.equal((await ask('logs', 'web')).stdout, 'small is enough\n')
  t.equal(await agent.stop(), 0, agent.stderr().slice(-600))
})

t.test('a device with two ways moves to the other when one is closed', async t => {
  const gate = await openGate(world.mqttPort)
  t.teardown(gate.close)
  const flags = ['--node-name', 'tower-1', '--runtime', 'process', '--link', 'mqtt,ws', '--mqtt-url', `mqtts://127.0.0.1:${gate.port}`]
  const agent = await startAgent(world.device, ...flags)
  world.roles.push(agent)
  const answers = async (): Promise<boolean> => (await ask('logs', 'web')).stdout === 'small is enough\n'
  await until('an answer', answers)
  t.equal(gate.state.passed, 1, 'MQTT, the first of the two')
  gate.shut()
  await until('an answer over the other way', answers)
  t.equal(gate.state.passed, 1)
  gate.unlock()
  t.equal((await ask('delete', 'pod', 'web')).code, 0)
  t.equal(await agent.stop(), 0, agent.stderr().slice(-600))
})

interface Joined {
  readonly certificate: string
  readonly mqttPort?: number
}

const joinBy = (ca: string, body: unknown): Promise<Joined> =>
  new Promise((resolve, reject) => {
    const url = `https://127.0.0.1:${world.port}/heliopause.io/v1/join`
    const call = request(url, { method: 'POST', ca, headers: { 'content-type': 'application/json' } }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () => (response.statusCode === 200 ? resolve(JSON.parse(text) as Joined) : reject(new Error(text))))
    })
    call.on('error', reject)
    call.end(JSON.stringify(body))
  })

const hasClients = (await run('sh', ['-c', 'command -v mosquitto_sub mosquitto_pub'])).code === 0

t.test('a stock client is let in by its certificate, to its own topics', { skip: hasClients ? false : 'NO MOSQUITTO CLIENTS' }, async t => {
  const ca = readFileSync(join(world.data, 'pki/ca.crt'), 'utf8')
  const { requestPem, keyPem } = systemPki.createRequest('tower-2')
  const joined = await joinBy(ca, { token: token(), nodeName: 'tower-2', csr: requestPem })
  t.equal(joined.mqttPort, world.mqttPort, 'the port is told at joining')
  writeFileSync(join(world.dir, 'tower-2.crt'), joined.certificate)
  writeFileSync(join(world.dir, 'tower-2.key'), keyPem)
  const topic = (device: string, kind: string): string => `helio/v1/${clusterIdOf(systemPki.publicKeyPin(ca))}/${device}/${kind}`
  const proof = ['--cert', join(world.dir, 'tower-2.crt'), '--key', join(world.dir, 'tower-2.key')]
  const client = (program: string, args: readonly string[], certificate = proof): Promise<CommandResult> =>
    run(program, [
      '-V',
      '5',
      '-h',
      '127.0.0.1',
      '-p',
      String(world.mqttPort),
      '--cafile',
      join(world.data, 'pki/ca.crt'),
      ...certificate,
      ...args,
    ])

  const own = await client('mosquitto_sub', ['-t', topic('tower-2', 'head'), '-q', '1', '-C', '1', '-W', '20', '-F', '%r %p'])
  t.equal(own.code, 0, own.stderr)
  t.match(own.stdout, /^1 \{"epoch":"[^"]+","generation":\d+/, 'the signed head, retained')
  const others = await client('mosquitto_sub', ['-t', topic('tower-1', 'head'), '-C', '1', '-W', '20'])
  t.match(others.stderr, /denied/i)
  for (const filter of ['#', '$SYS/#', topic('+', 'head')])
    t.match((await client('mosquitto_sub', ['-t', filter, '-C', '1', '-W', '20'])).stderr, /denied/i, filter)
  const write = await client('mosquitto_pub', ['-t', topic('tower-1', 'up'), '-m', '{}', '-q', '1', '-d'])
  t.match(`${write.stdout}${write.stderr}`, /RC:135|not authorized/i)
  const stranger = await client('mosquitto_sub', ['-t', topic('tower-2', 'head'), '-C', '1', '-W', '20'], [])
  t.match(stranger.stderr, /not authori[sz]ed/i)
})
