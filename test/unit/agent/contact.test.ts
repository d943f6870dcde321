// Joining from the agent: retried for ever while pods run, once only when it has worked, again only for another server.

import { createServer } from 'node:https'
import t from 'tap'
import type { AgentDeps } from '../../../src/agent/agent.ts'
import { openMemory } from '../../../src/agent/memory.ts'
import { silentLog } from '../../../src/base/log.ts'
import { systemClock } from '../../../src/host/clock.ts'
import { systemFiles } from '../../../src/host/files.ts'
import { systemPki } from '../../../src/host/pki.ts'
import { openBench, QUIET_LINK, SEALER } from './bench.ts'

const YEAR = 365 * 86_400_000
const now = systemClock.now()
const makeAuthority = () => systemPki.createAuthority('helio', now - YEAR, now + YEAR)
const tokenOf = (authority: { certPem: string }) => `helio1.${systemPki.publicKeyPin(authority.certPem)}.s3cret`

const serve = async (t: { teardown(fn: () => void): void }, authority: ReturnType<typeof makeAuthority>, refusals = 0) => {
  const valid = { notBeforeMs: now - YEAR, notAfterMs: now + YEAR, altNames: [] }
  const own = systemPki.issue(authority, { ...valid, commonName: 's', organizations: [], usage: 'server' })
  const seen: string[] = []
  const server = createServer({ key: own.keyPem, cert: own.certPem }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      if (request.url === '/heliopause.io/v1/ca') return response.end(authority.certPem)
      const { csr, nodeName } = JSON.parse(Buffer.concat(chunks).toString()) as { csr: string; nodeName: string }
      seen.push(csr)
      if (seen.length <= refusals) return response.writeHead(503).end('{"message":"not yet"}')
      const certificate = systemPki.signRequest(authority, csr, {
        ...valid,
        commonName: `system:node:${nodeName}`,
        organizations: [],
        usage: 'client',
      })
      response.end(
        JSON.stringify({
          certificate,
          ca: authority.certPem,
          headKey: 'h',
          node: nodeName,
          linkPath: '/link/v1',
          clusterCIDR: '10.42.0.0/16',
        }),
      )
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  return { url: `https://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`, seen }
}

t.test('a refused join is tried again with the same key, then the link opens and the identity stays', async t => {
  const authority = makeAuthority()
  const server = await serve(t, authority, 1)
  const b = openBench(t.teardown)
  const agent = await b.start({ join: { server: server.url, token: tokenOf(authority) } })
  await b.until('the link', () => b.links === 1)
  t.equal(server.seen.length, 2)
  t.equal(server.seen[0], server.seen[1])
  await agent.close()
  const again = await b.start()
  await b.until('the link without joining', () => b.links === 2)
  await again.close()
  const moved = await b.start({ join: { server: 'https://192.0.2.99:6443', token: tokenOf(authority) } })
  await b.until('the link to the new address', () => b.links === 3)
  await moved.close()
  const memory = await openMemory({ dir: b.dir, files: systemFiles, log: silentLog, sealer: SEALER })
  t.equal(memory.identity?.server, 'https://192.0.2.99:6443', 'the address changed, the identity did not')
  await memory.close()
  t.equal(server.seen.length, 2)
})

t.test('a token of another server means joining that one', async t => {
  const [first, second] = [makeAuthority(), makeAuthority()]
  const servers = [await serve(t, first), await serve(t, second)] as const
  const b = openBench(t.teardown)
  const agent = await b.start({ join: { server: servers[0].url, token: tokenOf(first) } })
  await b.until('the link', () => b.links === 1)
  await agent.close()
  const other = await b.start({ join: { server: servers[1].url, token: tokenOf(second) } })
  await b.until('the link', () => b.links === 2)
  t.equal(servers[1].seen.length, 1)
  await other.close()
})

t.test('a device whose node was deleted joins again with the key it had, when started with a token', async t => {
  const authority = makeAuthority()
  const server = await serve(t, authority)
  const b = openBench(t.teardown)
  const join = { server: server.url, token: tokenOf(authority) }
  const first = await b.start({ join })
  await b.until('the link', () => b.links === 1)
  await first.close()
  const refusals: (() => void)[] = []
  const openLink: AgentDeps['openLink'] = (_identity, { onRefused }) => {
    if (onRefused) refusals.push(onRefused)
    return { ...QUIET_LINK, lastError: 'refused' }
  }
  const silent = await b.start({ openLink })
  await b.until('a link without a token', () => refusals.length === 1)
  refusals[0]?.()
  await silent.close()
  t.equal(server.seen.length, 1, 'without a token nothing is asked')
  const again = await b.start({ join, openLink })
  await b.until('a link with a token', () => refusals.length === 2)
  refusals[1]?.()
  await b.until('a link of the new identity', () => refusals.length === 3)
  refusals[2]?.()
  await again.close()
  t.equal(server.seen.length, 2, 'once a start')
  t.equal(server.seen[0], server.seen[1])
})

t.test('closing in the middle of joining is quick', async t => {
  const b = openBench(t.teardown)
  const agent = await b.start({ join: { server: 'https://192.0.2.1:6443', token: `helio1.${'a'.repeat(64)}.x` } })
  const beganMs = systemClock.mono()
  await agent.close()
  t.ok(systemClock.mono() - beganMs < 2000)
})
