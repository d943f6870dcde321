// Joining a real TLS server with a pinned authority: names, dates and the network may be wrong, the key may not.

import { createServer, type Server } from 'node:https'
import t from 'tap'
import { join, pinOf } from '../../../src/agent/join.ts'
import type { KeyPair } from '../../../src/base/pki.ts'
import { systemClock } from '../../../src/host/clock.ts'
import { systemPki } from '../../../src/host/pki.ts'

const YEAR = 365 * 86_400_000
const now = systemClock.now()
const authority = systemPki.createAuthority('helio', now - YEAR, now + YEAR)
const other = systemPki.createAuthority('other', now - YEAR, now + YEAR)
const leaf = (of: KeyPair, usage: 'server' | 'client' = 'server', fromMs = now - YEAR, toMs = now + YEAR) =>
  systemPki.issue(of, { commonName: 'anything', organizations: [], altNames: [], usage, notBeforeMs: fromMs, notAfterMs: toMs })

interface Seen {
  readonly bodies: { token: string; nodeName: string; csr: string }[]
}

const serve = async (
  t: { teardown(fn: () => void): void },
  certificate: KeyPair,
  ca: string,
  answer?: { code: number; body: unknown },
): Promise<{ url: string; seen: Seen }> => {
  const seen: Seen = { bodies: [] }
  const server: Server = createServer({ key: certificate.keyPem, cert: certificate.certPem }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      if (request.url === '/heliopause.io/v1/ca') return response.end(ca)
      const body = JSON.parse(Buffer.concat(chunks).toString()) as Seen['bodies'][number]
      seen.bodies.push(body)
      const signed = systemPki.signRequest(authority, body.csr, {
        commonName: `system:node:${body.nodeName}`,
        organizations: ['system:nodes'],
        altNames: [],
        usage: 'client',
        notBeforeMs: now - YEAR,
        notAfterMs: now + YEAR,
      })
      const good = { certificate: signed, ca, headKey: 'head', node: body.nodeName, linkPath: '/link/v1', clusterCIDR: '10.42.0.0/16' }
      response.writeHead(answer?.code ?? 200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(answer?.body ?? good))
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { url: `https://127.0.0.1:${address.port}`, seen }
}

const token = `helio1.${systemPki.publicKeyPin(authority.certPem)}.s3cret`
const ask = (server: string, changes: { token?: string; kept?: { requestPem: string; keyPem: string }[] } = {}) => {
  const kept = changes.kept ?? []
  return join(
    { server, token: changes.token ?? token, nodeName: 'tower-1' },
    {
      pki: systemPki,
      clock: systemClock,
      signal: new AbortController().signal,
      pending: () => kept[0],
      savePending: async pending => void kept.splice(0, 1, pending),
    },
  )
}

t.test('a device joins by the pinned key; the certificate fits the key it kept', async t => {
  const { url, seen } = await serve(t, leaf(authority), authority.certPem)
  const kept: { requestPem: string; keyPem: string }[] = []
  const identity = await ask(url, { kept })
  t.match(identity, { nodeName: 'tower-1', server: url, linkPath: '/link/v1', headKey: 'head', key: kept[0]?.keyPem ?? '' })
  t.equal(systemPki.inspect(identity.certificate).commonName, 'system:node:tower-1')
  t.equal(seen.bodies[0]?.token, token)
  await ask(url, { kept })
  t.equal(seen.bodies[1]?.csr, seen.bodies[0]?.csr, 'asking again is asking with the same key')
})

t.test('dates do not matter: the clock of a device may be wrong by decades', async t => {
  for (const [fromMs, toMs] of [
    [now + YEAR, now + 2 * YEAR],
    [now - 3 * YEAR, now - 2 * YEAR],
  ] as const) {
    const { url } = await serve(t, leaf(authority, 'server', fromMs, toMs), authority.certPem)
    t.equal((await ask(url)).nodeName, 'tower-1')
  }
})

t.test('a server of another authority gets no token', async t => {
  const impostors = [
    await serve(t, leaf(other), other.certPem),
    await serve(t, leaf(other), authority.certPem),
    await serve(t, leaf(other, 'server', now - 3 * YEAR, now - 2 * YEAR), authority.certPem),
    await serve(t, leaf(authority, 'client'), authority.certPem),
  ]
  for (const { url, seen } of impostors) {
    await t.rejects(ask(url), { message: /not the (server the token was made by|one this device trusts)/ })
    t.equal(seen.bodies.length, 0)
  }
})

t.test('refusals and failures are one line with a hint', async t => {
  const { url } = await serve(t, leaf(authority), authority.certPem, { code: 403, body: { message: 'name is taken' } })
  await t.rejects(ask(url), { message: 'join: the server refused: name is taken', hint: /.+/ })
  await t.rejects(ask('https://127.0.0.1:1'), { message: /ECONNREFUSED/, hint: /the pods run meanwhile/ })
  await t.rejects(ask('server:6443'), { message: /is not an https URL/ })
  await t.rejects(ask(url, { token: 'abc' }), { message: /not a join token/ })
  const odd = await serve(t, leaf(authority), authority.certPem, { code: 200, body: { certificate: 'x' } })
  await t.rejects(ask(odd.url), { message: /answer has no/ })
  const web = await serve(t, leaf(authority), '<html>')
  await t.rejects(ask(web.url), { message: /sent no certificate/ })
})

t.test('pinOf takes the pin out of a token', async t => {
  t.equal(pinOf(`helio1.${'a'.repeat(64)}.x`), 'a'.repeat(64))
  for (const bad of ['', 'helio1..x', `helio2.${'a'.repeat(64)}.x`, `helio1.${'a'.repeat(63)}.x`, `helio1.${'a'.repeat(64)}.`])
    t.throws(() => pinOf(bad))
})
