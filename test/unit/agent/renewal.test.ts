// Renewal of a device's certificate against a real TLS server: when it is due, what is taken, and which certificate is shown.

import { createServer } from 'node:https'
import type { TLSSocket } from 'node:tls'
import t from 'tap'
import { RENEWED_DIALS } from '../../../src/agent/limits.ts'
import type { DeviceIdentity } from '../../../src/agent/memory.ts'
import { createRenewal, renewAtMs } from '../../../src/agent/renewal.ts'
import { clockWithFloor } from '../../../src/base/clock-floor.ts'
import { type Log, silentLog } from '../../../src/base/log.ts'
import type { KeyPair } from '../../../src/base/pki.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { systemClock } from '../../../src/host/clock.ts'
import { systemPki as pki } from '../../../src/host/pki.ts'

const YEAR = 365 * 86_400_000
const now = systemClock.now()
const iso = (ms: number): string => new Date(ms).toISOString()
const authority = pki.createAuthority('helio', now - 20 * YEAR, now + 20 * YEAR)
const stranger = pki.createAuthority('other', now - 20 * YEAR, now + 20 * YEAR)
const sign = (of: KeyPair, csr: string, notAfterMs: number, changes = {}): string =>
  pki.signRequest(of, csr, {
    commonName: 'system:node:tower-1',
    organizations: ['system:nodes'],
    altNames: [],
    usage: 'client',
    notBeforeMs: now - 10 * YEAR,
    notAfterMs,
    ...changes,
  })

const identityWith = (server: string, notAfterMs: number): DeviceIdentity => {
  const { requestPem, keyPem } = pki.createRequest('system:node:tower-1')
  return {
    nodeName: 'tower-1',
    server,
    linkPath: '/link/v1',
    clusterCIDR: '',
    ca: authority.certPem,
    certificate: sign(authority, requestPem, notAfterMs),
    key: keyPem,
    headKey: '',
    issuedAt: iso(now - YEAR),
  }
}

/** A server that renews as told; `seen`: common names of those who asked. */
const serve = async (t: { teardown(fn: () => void): void }, answer: (csr: string) => string | undefined, as = authority) => {
  const own = pki.issue(as, {
    commonName: 's',
    organizations: [],
    altNames: [],
    usage: 'server',
    notBeforeMs: now - 9 * YEAR,
    notAfterMs: now - YEAR,
  })
  const seen: string[] = []
  const server = createServer({ key: own.keyPem, cert: own.certPem, requestCert: true, rejectUnauthorized: false }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      seen.push(String((request.socket as TLSSocket).getPeerCertificate().subject?.CN))
      const certificate = answer((JSON.parse(Buffer.concat(chunks).toString()) as { csr: string }).csr)
      response
        .writeHead(certificate === undefined ? 503 : 200)
        .end(JSON.stringify(certificate === undefined ? { message: 'not now' } : { certificate }))
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

/** Runs one contact to its end: what was saved and said. */
const contact = async (identity: DeviceIdentity, saysUntil: RegExp) => {
  const clock = clockWithFloor(systemClock, now)
  const saved: DeviceIdentity[] = []
  const said: string[] = []
  const { renewal, heard } = await new Promise<{ renewal: ReturnType<typeof createRenewal>; heard: string }>(resolve => {
    const note = (message: string, fields?: Record<string, unknown>): void => {
      said.push(`${message} ${String(fields?.['error'] ?? '')}`.trim())
      if (saysUntil.test(said.at(-1) ?? '')) queueMicrotask(() => resolve({ renewal: made, heard: said.at(-1) ?? '' }))
    }
    const log: Log = { ...silentLog, info: note, error: note }
    const memory = { saveIdentity: async (each: DeviceIdentity) => void saved.push(each) }
    const made = createRenewal({ clock, random: seededRandom('r'), log, pki, memory }, identity)
    void made.identity.certificate
    made.contact(true)
  })
  await renewal.close()
  return { saved, said, heard, renewal }
}

t.test('an expired certificate is made new on contact, by a server whose own has expired too; the old one is kept', async t => {
  const server = await serve(t, csr => sign(authority, csr, now + 5 * YEAR))
  const identity = identityWith(server.url, now - 1000)
  const { saved } = await contact(identity, /^certificate renewed/)
  t.same(server.seen, ['system:node:tower-1'])
  t.equal(saved.length, 1)
  t.equal(saved[0]?.certificate, identity.certificate)
  t.equal(pki.publicKeyPin(saved[0]?.renewed?.certificate ?? ''), pki.publicKeyPin(identity.certificate), 'same key')
  t.match(pki.inspect(saved[0]?.renewed?.certificate ?? ''), { commonName: 'system:node:tower-1' })
})

t.test('what a server may not give is not taken', async t => {
  const other = pki.createRequest('system:node:tower-1').requestPem
  const cases: readonly [RegExp, (csr: string) => string | undefined][] = [
    [/answered 503: not now/, () => undefined],
    [/not signed by the pinned authority/, csr => sign(stranger, csr, now + 5 * YEAR)],
    [/not one of a client/, csr => sign(authority, csr, now + 5 * YEAR, { usage: 'server' })],
    [/for another key/, () => sign(authority, other, now + 5 * YEAR)],
    [/for system:node:other/, csr => sign(authority, csr, now + 5 * YEAR, { commonName: 'system:node:other' })],
    [/no later than the old one/, csr => sign(authority, csr, now - YEAR)],
  ]
  for (const [why, answer] of cases) {
    const server = await serve(t, answer)
    const { saved, heard } = await contact(identityWith(server.url, now - 1000), /^certificate not renewed/)
    t.match(heard, why)
    t.same(saved, [])
  }
})

t.test('nothing is sent to a server of another authority', async t => {
  const server = await serve(t, csr => sign(authority, csr, now + 5 * YEAR), stranger)
  const { heard } = await contact(identityWith(server.url, now - 1000), /^certificate not renewed/)
  t.match(heard, /not the one this device trusts/)
  t.same(server.seen, [])
})

t.test('the new certificate is shown first; when it opened a connection it stays, when the old one did it goes', async t => {
  const server = await serve(t, () => undefined)
  const old = identityWith(server.url, now + 9 * YEAR)
  const renewed = { certificate: sign(authority, pki.requestFor('x', old.key), now + 10 * YEAR), issuedAt: iso(now) }
  const good = await contact({ ...old, renewed }, /^renewed certificate/)
  t.equal(good.heard, 'renewed certificate works')
  t.match(good.saved, [{ certificate: renewed.certificate, issuedAt: renewed.issuedAt }])
  t.notOk(good.saved[0]?.renewed)

  const bad: { saved: DeviceIdentity[] } = { saved: [] }
  await new Promise<void>(resolve => {
    const memory = { saveIdentity: async (each: DeviceIdentity) => void bad.saved.push(each) }
    const log: Log = { ...silentLog, error: () => resolve() }
    const renewal = createRenewal(
      { clock: clockWithFloor(systemClock, now), random: seededRandom('r'), log, pki, memory },
      { ...old, renewed },
    )
    for (let i = 0; i < RENEWED_DIALS; i++) t.equal(renewal.identity.certificate, renewed.certificate)
    t.equal(renewal.identity.certificate, old.certificate, 'the dial after those that failed')
    renewal.contact(true)
    t.teardown(() => renewal.close())
  })
  t.equal(bad.saved[0]?.certificate, old.certificate)
  t.notOk(bad.saved[0]?.renewed)
})

t.test('due when two thirds of its life are over, a little sooner for some; its life begins when it was got', t => {
  const shares = Array.from({ length: 20 }, () => {
    const identity = identityWith('https://192.0.2.1', now + 8 * YEAR)
    return (renewAtMs(identity, pki, seededRandom('r')) - (now - YEAR)) / (9 * YEAR)
  })
  t.ok(Math.min(...shares) >= (2 / 3) * 0.8 - 0.001 && Math.max(...shares) <= 2 / 3)
  t.ok(new Set(shares).size > 10, 'a fleet that joined together does not renew together')
  const identity = identityWith('https://192.0.2.1', now + 8 * YEAR)
  t.equal(renewAtMs(identity, pki, seededRandom('r')), renewAtMs(identity, pki, seededRandom('r')), 'the same at every start')
  t.end()
})
