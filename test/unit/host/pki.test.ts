import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { CertificateRequest } from '../../../src/base/pki.ts'
import { systemPki as pki } from '../../../src/host/pki.ts'
import { REQUEST_BYTES_MAX } from '../../../src/host/x509.ts'
import { fc } from '../../property.ts'

const DAY = 86_400_000
const now = Date.now()
const dir = t.testdir()
const file = (name: string, content: string): string => {
  writeFileSync(join(dir, name), content)
  return join(dir, name)
}
const openssl = (...args: string[]): string => execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
/** What openssl says against it, or '' when it says nothing. */
const opensslError = (...args: string[]): string => {
  try {
    openssl(...args)
    return ''
  } catch (error) {
    return String((error as { stderr?: string }).stderr)
  }
}
const refusal = (fn: () => unknown): string => {
  try {
    fn()
    return ''
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const authority = pki.createAuthority('heliopause-ca', now - DAY, now + 3650 * DAY)
const ca = file('ca.pem', authority.certPem)
const node: CertificateRequest = {
  commonName: 'system:node:tower-7',
  organizations: ['system:nodes'],
  altNames: [],
  usage: 'client',
  notBeforeMs: now - DAY,
  notAfterMs: now + DAY,
}
const server: CertificateRequest = { ...node, commonName: 'helio', organizations: [], usage: 'server' }

t.test('openssl accepts an authority and its leaves for their purpose and for no other', async t => {
  const client = file('client.pem', pki.issue(authority, node).certPem)
  const web = file('server.pem', pki.issue(authority, { ...server, altNames: ['DNS:localhost', 'IP:127.0.0.1', 'IP:::1'] }).certPem)
  const verify = ['verify', '-x509_strict', '-check_ss_sig', '-CAfile', ca]
  t.match(openssl(...verify, ca), /OK/)
  t.match(openssl(...verify, '-purpose', 'sslclient', client), /OK/)
  t.match(openssl(...verify, '-purpose', 'sslserver', '-verify_hostname', 'localhost', web), /OK/)
  t.match(openssl(...verify, '-purpose', 'sslserver', '-verify_ip', '127.0.0.1', web), /OK/)
  t.match(openssl(...verify, '-purpose', 'sslserver', '-verify_ip', '::1', web), /OK/)
  t.match(opensslError(...verify, '-purpose', 'sslserver', client), /purpose/)
  t.match(opensslError(...verify, '-purpose', 'sslserver', '-verify_ip', '127.0.0.2', web), /mismatch/)
  const other = file('other.pem', pki.createAuthority('heliopause-ca', now - DAY, now + DAY).certPem)
  t.not(opensslError('verify', '-CAfile', other, client), '', 'an authority of the same name is not the same authority')
  t.match(
    refusal(() => pki.issue(pki.issue(authority, node), node)),
    /not an authority/,
  )
})

t.test('openssl prints the names, usages, key ids and constraints that were asked for', async t => {
  const altNames = ['DNS:helio.example', 'DNS:*.edge.example', 'IP:10.0.0.1', 'IP:fd00::12:1', 'DNS:helio.example']
  const web = openssl('x509', '-noout', '-text', '-in', file('text.pem', pki.issue(authority, { ...server, altNames }).certPem))
  t.match(web, /Version: 3/)
  t.match(web, /ecdsa-with-SHA256/)
  t.match(web, /CA:FALSE/)
  t.match(web, /TLS Web Server Authentication/)
  t.match(web, /DNS:helio\.example, DNS:\*\.edge\.example, IP Address:10\.0\.0\.1, IP Address:FD00:0:0:0:0:0:12:1\n/)
  const id = /Authority Key Identifier:\s+([0-9A-F:]+)/.exec(web)?.[1] ?? 'none'
  const top = openssl('x509', '-noout', '-text', '-in', ca)
  t.ok(top.includes(id), 'the authority key id is the authority’s subject key id')
  t.match(top, /CA:TRUE/)
  t.match(top, /Certificate Sign, CRL Sign/)
})

t.test('X509Certificate agrees: issuer, key, host names, dates beyond 2050, names with every character', async t => {
  const name = 'system:node:Türme, =+"\\;<>#x '
  const long = {
    ...node,
    commonName: name,
    organizations: ['a,b', 'c=d\\', 'system:nodes'],
    notAfterMs: Date.UTC(9999, 11, 31, 23, 59, 59),
  }
  const issued = pki.issue(authority, long)
  const cert = new X509Certificate(issued.certPem)
  const top = new X509Certificate(authority.certPem)
  t.ok(cert.checkIssued(top))
  t.ok(cert.verify(top.publicKey))
  t.notOk(cert.ca)
  const seen = pki.inspect(issued.certPem)
  t.equal(seen.commonName, name)
  t.strictSame(seen.organizations, long.organizations)
  t.equal(seen.notAfterMs, long.notAfterMs)
  t.equal(seen.notBeforeMs, Math.floor(long.notBeforeMs / 1000) * 1000)
  t.strictSame(pki.inspect(cert.raw), seen)
  t.equal(new X509Certificate(pki.issue(authority, { ...server, altNames: ['DNS:a.b'] }).certPem).checkHost('a.b'), 'a.b')
  const deviceName = `system:node:${'n'.repeat(253)}`
  t.equal(pki.inspect(pki.issue(authority, { ...node, commonName: deviceName }).certPem).commonName, deviceName)
})

t.test('reads the names of certificates that openssl made', async t => {
  const args = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', join(dir, 'k.pem'), '-days', '2']
  const made = openssl('req', '-x509', ...args, '-subj', '/C=DE/O=one/O=two/OU=x/CN=someone')
  t.match(pki.inspect(made), { commonName: 'someone', organizations: ['one', 'two'] })
  const twice = openssl('req', '-x509', ...args, '-subj', '/CN=a/CN=b')
  t.match(
    refusal(() => pki.inspect(twice)),
    /more than one common name/,
  )
})

t.test('serial numbers are positive, long and do not repeat', async t => {
  const serials = Array.from({ length: 20 }, () => new X509Certificate(pki.issue(authority, node).certPem).serialNumber)
  t.equal(new Set(serials).size, serials.length)
  for (const serial of serials) t.match(serial, /^[4-7][0-9A-F]{31}$/)
})

t.test('a request made here is one that openssl verifies; signing keeps its key and takes no name from it', async t => {
  const { requestPem, keyPem } = pki.createRequest('tower-7')
  t.equal(opensslError('req', '-verify', '-noout', '-in', file('req.pem', requestPem)), '')
  const cert = new X509Certificate(pki.signRequest(authority, requestPem, node))
  t.ok(cert.checkPrivateKey(createPrivateKey(keyPem)))
  t.equal(pki.inspect(cert.raw).commonName, node.commonName)
  t.ok(cert.verify(new X509Certificate(authority.certPem).publicKey))
})

t.test('requests that openssl made are signed when their key is strong, refused when not', async t => {
  const request = (...args: string[]): string => openssl('req', '-new', '-nodes', '-keyout', join(dir, 'k2.pem'), '-subj', '/CN=x', ...args)
  const ec = (curve: string): string[] => ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${curve}`]
  const good = [
    ec('P-256'),
    ec('P-384'),
    ['-newkey', 'ed25519'],
    ['-newkey', 'rsa:2048'],
    [...ec('P-256'), '-sha512', '-addext', 'subjectAltName=DNS:evil'],
  ]
  for (const args of good) {
    const cert = file('signed.pem', pki.signRequest(authority, request(...args), node))
    t.match(openssl('verify', '-x509_strict', '-CAfile', ca, cert), /OK/)
    t.notMatch(openssl('x509', '-noout', '-text', '-in', cert), /evil/)
  }
  for (const args of [['-newkey', 'rsa:1024'], ec('secp256k1'), [...ec('P-256'), '-sha1']])
    t.match(
      refusal(() => pki.signRequest(authority, request(...args), node)),
      /^sign certificate request: its (key|signature)/,
    )
})

t.test('malformed, truncated, altered and oversized requests are refused in one line', async t => {
  const { requestPem } = pki.createRequest('tower-7')
  const bytes = Buffer.from(requestPem.replace(/-----[^-]+-----/g, ''), 'base64')
  const wrap = (b: Uint8Array): string =>
    `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.from(b).toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
  const sign = (text: string): string => refusal(() => pki.signRequest(authority, text, node))
  const line = /^sign certificate request: [^\n]+$/
  t.equal(sign(wrap(bytes)), '', 'the unaltered request is fine')
  for (let length = 0; length < bytes.length; length++) if (!line.test(sign(wrap(bytes.subarray(0, length))))) t.fail(`cut to ${length}`)
  for (const text of ['', 'x', authority.certPem, requestPem + requestPem, requestPem.slice(0, -20), requestPem.replace('M', '!')])
    t.match(sign(text), line)
  t.match(sign(wrap(Buffer.alloc(REQUEST_BYTES_MAX + 1, 0x30))), /more than 8192 bytes/)
  t.match(sign(`-----BEGIN CERTIFICATE REQUEST-----${' '.repeat(10_000_000)}`), /more than 8192 bytes/)
  t.match(sign(`-----BEGIN CERTIFICATE REQUEST-----${' '.repeat(12_000)}`), /not one PEM block/)
  t.match(sign(wrap(Buffer.concat([bytes, Buffer.of(0)]))), line)
  const flip = fc.record({ at: fc.nat(bytes.length - 1), xor: fc.integer({ min: 1, max: 255 }) })
  fc.assert(
    fc.property(flip, ({ at, xor }) => {
      const altered = Buffer.from(bytes)
      altered[at]! ^= xor
      return line.test(sign(wrap(altered)))
    }),
    { numRuns: 300 },
  )
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.uint8Array().map(wrap)), text => line.test(sign(text))),
    { numRuns: 500 },
  )
})

t.test('refuses names, addresses and times that no certificate may carry', async t => {
  const bad: readonly Partial<CertificateRequest>[] = [
    { commonName: '' },
    { commonName: 'a\0b' },
    { commonName: 'x'.repeat(321) },
    { organizations: ['\n'] },
    { altNames: ['localhost'] },
    { altNames: ['IP:1.2.3'] },
    { altNames: ['DNS:a b'] },
    { altNames: ['DNS:a\0.b'] },
    { altNames: ['DNS:*'] },
    { notAfterMs: 0 },
    { notAfterMs: Number.NaN },
  ]
  for (const part of bad)
    t.match(
      refusal(() => pki.issue(authority, { ...node, ...part })),
      /^write (certificate|DER): [^\n]+$/,
      JSON.stringify(part).slice(0, 60),
    )
})

t.test('every IPv4 and IPv6 address becomes an alternative name that matches itself', async () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), address => {
      const cert = new X509Certificate(pki.issue(authority, { ...server, altNames: [`IP:${address}`] }).certPem)
      return cert.checkIP(address) !== undefined
    }),
    { numRuns: 60 },
  )
})

t.test('a signed text verifies with its key only, unaltered only, and in one spelling only', async t => {
  const key = pki.createSigningKey()
  const text = 'helio-head-v1\ntower-7\nTürme'
  const signature = pki.sign(key.privatePem, text)
  t.ok(pki.verify(key.publicPem, text, signature))
  t.notOk(pki.verify(key.publicPem, `${text} `, signature))
  t.notOk(pki.verify(pki.createSigningKey().publicPem, text, signature))
  for (const other of ['', signature.slice(0, -1), `${signature}=`, ` ${signature}`, signature.replace(/=+$/, ''), `${'A'.repeat(86)}==`])
    t.notOk(pki.verify(key.publicPem, text, other))
})

t.test('the pin of a key outlives its certificates and is openssl’s', async t => {
  const { requestPem } = pki.createRequest('x')
  const one = pki.signRequest(authority, requestPem, node)
  const two = pki.signRequest(authority, requestPem, { ...node, commonName: 'other' })
  t.equal(pki.publicKeyPin(one), pki.publicKeyPin(two))
  t.not(pki.publicKeyPin(one), pki.publicKeyPin(authority.certPem))
  const spki = createPublicKey(openssl('x509', '-noout', '-pubkey', '-in', file('pin.pem', one)))
  t.equal(pki.publicKeyPin(one), pki.sha256(spki.export({ type: 'spki', format: 'der' })))
  t.equal(pki.sha256('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})
