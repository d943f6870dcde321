// Renewal of device certificates on the server: by the key of the Node, whatever the dates; for nobody else.

import t from 'tap'
import type { ApiRequest } from '../../../src/api/api.ts'
import { ApiError } from '../../../src/base/errors.ts'
import { silentLog } from '../../../src/base/log.ts'
import { systemClock } from '../../../src/host/clock.ts'
import { systemPki as pki } from '../../../src/host/pki.ts'
import { renewRoute } from '../../../src/server/renew.ts'

const YEAR = 365 * 86_400_000
const now = systemClock.now()
const authority = pki.createAuthority('helio', now - 20 * YEAR, now + 20 * YEAR)
const { requestPem, keyPem } = pki.createRequest('system:node:a')
const expired = pki.signRequest(authority, requestPem, {
  commonName: 'system:node:a',
  organizations: ['system:nodes'],
  altNames: [],
  usage: 'client',
  notBeforeMs: now - 10 * YEAR,
  notAfterMs: now - YEAR,
})
const der = Buffer.from(expired.replace(/-----[^-]+-----|\s/g, ''), 'base64')
const device: NonNullable<ApiRequest['device']> = {
  identity: { name: 'system:node:a', groups: ['system:nodes'], node: 'a' },
  certificate: der,
}
const route = (nodeOf: () => string = () => 'a', nowMs = now) =>
  renewRoute({ credentials: { authority }, pki, log: silentLog, nowMs: () => nowMs, nodeOf })
const ask = async (body: string, changes: Partial<ApiRequest> = {}, by = route()) => {
  const request: ApiRequest = {
    method: 'POST',
    url: '',
    headers: {},
    identity: undefined,
    device,
    body: async () => Buffer.from(body),
    ...changes,
  }
  const { status, body: answer } = await by.handle(request)
  return { status, certificate: String((JSON.parse(String(answer)) as { certificate: string }).certificate) }
}

t.test('a device with an expired certificate gets one for the same key and name, of the years to come', async t => {
  const { status, certificate } = await ask(JSON.stringify({ csr: pki.requestFor('anything', keyPem) }))
  t.equal(status, 200)
  t.equal(pki.publicKeyPin(certificate), pki.publicKeyPin(der))
  t.match(pki.inspect(certificate), { commonName: 'system:node:a', organizations: ['system:nodes'] })
  t.ok(pki.inspect(certificate).notAfterMs > now + 9 * YEAR)
})

t.test('a server that woke up in 1970 signs nothing that ends before it begins', async t => {
  const { certificate } = await ask(JSON.stringify({ csr: pki.requestFor('a', keyPem) }), {}, route(undefined, 0))
  const { notBeforeMs, notAfterMs } = pki.inspect(certificate)
  t.ok(notAfterMs > notBeforeMs + YEAR)
})

t.test('another key, no key, no device, no request: refused with the reason', async t => {
  const csr = pki.requestFor('a', keyPem)
  const other = pki.createRequest('system:node:a').requestPem
  await t.rejects(ask(JSON.stringify({ csr: other })), /belongs to another key/)
  await t.rejects(ask(JSON.stringify({ csr }), { device: undefined }), /not the certificate of a device/)
  for (const body of ['', '{', '{}', '[]', '{"csr":1}', '{"csr":"no request"}']) await t.rejects(ask(body), /renew: /)
  const refused = route(() => {
    throw new ApiError('Forbidden', 'link: the node a belongs to another key')
  })
  await t.rejects(ask(JSON.stringify({ csr }), {}, refused), /belongs to another key/)
})
