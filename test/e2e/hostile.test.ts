// The real server under attack over real sockets: it keeps answering others, its memory stays bounded, and it ends in time.

import { readFileSync } from 'node:fs'
import { type ClientHttp2Session, connect } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { systemPki } from '../../src/host/pki.ts'
import { Client } from './client.ts'
import { freePort, type Running, startServer, temporaryDir, wipe } from './cluster.ts'

const dir = temporaryDir()
const world: { server: Running | undefined; client: Client | undefined } = { server: undefined, client: undefined }
const client = (): Client => world.client!
const MAPS = '/api/v1/namespaces/default/configmaps'
const JOIN = '/heliopause.io/v1/join'
const RSS_MIB_MAX = 600

t.setTimeout(60_000)
t.teardown(async () => {
  world.client?.close()
  await world.server?.stop()
  wipe(dir)
})

const rssMiB = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${world.server!.pid}/status`, 'utf8'))?.[1]) / 1024

const ca = (): string => readFileSync(join(dir, 'pki/ca.crt'), 'utf8')

/** A session of its own, as the admin or as nobody. */
const session = (named: boolean): Promise<ClientHttp2Session> => {
  const { user } = (parse(readFileSync(join(dir, 'kubeconfig'), 'utf8')) as { users: { user: Record<string, string> }[] }).users[0]!
  const decode = (name: string): string => Buffer.from(user[name]!, 'base64').toString()
  const opened = connect(world.server!.url, {
    ca: ca(),
    ...(named ? { cert: decode('client-certificate-data'), key: decode('client-key-data') } : {}),
  })
  opened.on('error', () => opened.destroy())
  return new Promise(resolve => opened.once('connect', () => resolve(opened)))
}

/** Begins requests on a session and reads nothing of their answers; settles when the server has answered or taken them. */
const begin = (on: ClientHttp2Session, count: number, headers: Record<string, string>, body?: Buffer): Promise<unknown> =>
  Promise.all(
    Array.from({ length: count }, () => {
      const stream = on.request(headers, { endStream: body === undefined })
      stream.on('error', () => stream.destroy())
      if (body) return new Promise(resolve => stream.write(body, resolve))
      return new Promise(resolve => stream.once('response', resolve).once('close', resolve))
    }),
  )

const isWell = async (): Promise<void> => {
  t.equal((await client().request('GET', '/api/v1/namespaces/default')).status, 200)
  t.ok(rssMiB() < RSS_MIB_MAX, `${Math.round(rssMiB())} MiB`)
}

t.test('a server comes up', async t => {
  world.server = await startServer(dir, await freePort(), '--no-agent', '--cluster-cidr', '10.231.0.0/16')
  world.client = await Client.open(join(dir, 'kubeconfig'))
  t.equal((await client().request('GET', '/readyz')).text, 'ok')
})

t.test('bodies that once ended or held up the process are refused', async t => {
  const refused = async (body: string, status: number, type = 'application/json'): Promise<void> => {
    const answer = await client().request('POST', `${MAPS}?fieldValidation=Strict`, body, { 'content-type': type })
    t.equal(answer.status, status)
    await isWell()
  }
  await refused(`{"metadata":{"name":"a"},"${'k'.repeat(1_000_000)}":{${'"a":"",'.repeat(150_000)}"a":""}}`, 400)
  await refused('- '.repeat(200_000), 400, 'application/yaml')
  await refused('['.repeat(200_000), 400, 'application/yaml')
  await refused(`{"data":{"a":"${'x'.repeat(3 * 1024 * 1024)}"}}`, 413)
  const container = { name: 'c', image: 'i', resources: { limits: { cpu: `${'9'.repeat(1_000_000)}x` } } }
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'q' }, spec: { containers: [container] } }
  t.equal((await client().request('POST', '/api/v1/namespaces/default/pods', pod)).status, 400)
  await client().ok('POST', MAPS, { metadata: { name: 'doubling' }, data: { a: 'x'.repeat(1000) } })
  const copies = Array.from({ length: 30 }, (_, i) => ({ op: 'copy', from: '/data', path: `/data/k${i}` }))
  const patched = await client().request('PATCH', `${MAPS}/doubling`, copies, { 'content-type': 'application/json-patch+json' })
  t.equal(patched.status, 413)
  await isWell()
})

t.test('strangers who join slowly with large bodies keep nobody out', async () => {
  const sessions = await Promise.all(Array.from({ length: 5 }, () => session(false)))
  const headers = { ':method': 'POST', ':path': JOIN, 'content-type': 'application/json' }
  for (const each of sessions) void begin(each, 200, headers, Buffer.alloc(1_000_000, 'x'))
  for (let i = 0; i < 50; i++) await client().ok('GET', '/api/v1/namespaces/default')
  await isWell()
  for (const each of sessions) each.destroy()
})

t.test('a thousand watches that read nothing do not make the server remember for them', async () => {
  const sessions = await Promise.all(Array.from({ length: 5 }, () => session(true)))
  await Promise.all(
    sessions.map(each => begin(each, 200, { ':method': 'GET', ':path': `${MAPS}?watch=true&labelSelector=a%3Db&resourceVersion=0` })),
  )
  for (let i = 0; i < 8; i++)
    await client().ok('POST', MAPS, { metadata: { generateName: 'w', labels: { a: 'b' } }, data: { a: 'x'.repeat(900_000) } })
  await isWell()
  for (const each of sessions) each.destroy()
})

t.test('a name belongs to the key that took it, and a device may not look at others', async t => {
  const token = readFileSync(join(dir, 'join-token'), 'utf8').trim()
  const [mine, other] = [systemPki.createRequest('x'), systemPki.createRequest('x')]
  const ask = (nodeName: string, csr: string, by = token) => client().request('POST', JOIN, { token: by, nodeName, csr })
  t.equal((await ask('mine', mine.requestPem, `${token}0`)).status, 401)
  const joined = await ask('mine', mine.requestPem)
  t.equal(joined.status, 200)
  t.equal((await ask('mine', other.requestPem)).status, 403)
  t.equal((await ask('../mine', other.requestPem)).status, 400)
  t.equal((await ask('other', other.requestPem)).status, 200)
  const device = connect(world.server!.url, { ca: ca(), cert: String(joined.json['certificate']), key: mine.keyPem })
  const status = (method: string, path: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const stream = device.request({ ':method': method, ':path': path })
      stream.once('response', head => resolve(Number(head[':status'])))
      stream.once('error', reject)
      stream.resume()
    })
  t.equal(await status('GET', '/api/v1/nodes/mine'), 200)
  for (const path of ['/api/v1/nodes/other', '/api/v1/nodes', '/api/v1/pods', '/api/v1/namespaces/default/secrets'])
    t.equal(await status('GET', path), 403, path)
  t.equal(await status('DELETE', '/api/v1/nodes/mine'), 403)
  device.destroy()
})

t.test('it ends within five seconds while watches are open and handshakes unfinished', async t => {
  const halves = Array.from({ length: 50 }, () => {
    const socket = connectTcp(Number(new URL(world.server!.url).port), '127.0.0.1')
    socket.on('error', () => socket.destroy())
    socket.write('\x16\x03\x01')
    return socket
  })
  await Promise.all(halves.map(socket => new Promise(resolve => socket.once('connect', resolve))))
  await begin(await session(true), 100, { ':method': 'GET', ':path': '/api/v1/pods?watch=true' })
  const startedMs = performance.now()
  t.equal(await world.server!.stop(), 0)
  t.ok(performance.now() - startedMs < 5000)
  for (const socket of halves) socket.destroy()
})
