// Keys and certificates for real: node:crypto makes keys and signatures, x509.ts the bytes around them. ECDSA P-256 for TLS
// (every client knows it), Ed25519 for signed heads. Works alike on Node 20 and 24.

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  sign as cryptoSign,
  verify as cryptoVerify,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from 'node:crypto'
import { messageOf } from '../base/errors.ts'
import type { CertificateRequest, KeyPair, Pki } from '../base/pki.ts'
import {
  type CertificateBody,
  certificateBody,
  distinguishedName,
  NAME_CHARS_MAX,
  namesOf,
  parseRequest,
  REQUEST_BYTES_MAX,
  requestBody,
  SIGNATURE_DIGEST,
  signed,
  subjectOf,
} from './x509.ts'

/** Serial numbers: 127 random bits, positive and never zero (RFC 5280 4.1.2.2 allows 20 bytes). */
const SERIAL_BYTES = 16
const RSA_BITS = { min: 2048, max: 4096 }
const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1']

const freshKey = (): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } => generateKeyPairSync('ec', { namedCurve: 'P-256' })

const spki = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' })
const pkcs8 = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString()

const pem = (label: string, bytes: Uint8Array): string => {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

const serial = (): Uint8Array => {
  const bytes = randomBytes(SERIAL_BYTES)
  bytes[0] = (bytes[0]! & 0x7f) | 0x40
  return bytes
}

/** RFC 7093 method 4: a hash of the whole SubjectPublicKeyInfo, 160 bits of its SHA-256. */
const keyId = (key: KeyObject): Uint8Array => createHash('sha256').update(spki(key)).digest().subarray(0, 20)

const certificate = (privateKey: KeyObject, body: Omit<CertificateBody, 'serial'>): string => {
  const bytes = certificateBody({ ...body, serial: serial() })
  return pem('CERTIFICATE', signed(bytes, cryptoSign('sha256', bytes, privateKey)))
}

/** A certificate for `publicKey`, named by `request`, by this authority. */
const leaf = (authority: KeyPair, publicKey: KeyObject, request: CertificateRequest): string => {
  const issuer = new X509Certificate(authority.certPem)
  if (!issuer.ca) throw new Error('issue certificate: the issuer is not an authority')
  const issuerKey = createPrivateKey(authority.keyPem)
  if (!issuer.checkPrivateKey(issuerKey)) throw new Error('issue certificate: the key is not the authority’s')
  return certificate(issuerKey, {
    issuer: subjectOf(issuer.raw),
    subject: distinguishedName(request.commonName, request.organizations),
    publicKey: spki(publicKey),
    notBeforeMs: request.notBeforeMs,
    notAfterMs: request.notAfterMs,
    subjectKeyId: keyId(publicKey),
    authorityKeyId: keyId(issuer.publicKey),
    usage: request.usage,
    altNames: request.altNames,
  })
}

const requestBytes = (requestPem: string): Uint8Array => {
  // Base64 takes 4 bytes for 3, and the frame of the PEM a little more: the bound is checked before anything is decoded.
  if (requestPem.length > REQUEST_BYTES_MAX * 1.5 + 256) throw new Error(`it has more than ${REQUEST_BYTES_MAX} bytes`)
  const [, label, body] = /^-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----([A-Za-z0-9+/=\s]*)/.exec(requestPem.trimStart()) ?? []
  if (label === undefined || body === undefined || requestPem.trim() !== `-----BEGIN ${label}-----${body}-----END ${label}-----`)
    throw new Error('it is not one PEM block of type CERTIFICATE REQUEST')
  return Buffer.from(body, 'base64')
}

const requestBy = (commonName: string, privateKey: KeyObject): string => {
  const body = requestBody(commonName, spki(createPublicKey(privateKey)))
  return pem('CERTIFICATE REQUEST', signed(body, cryptoSign('sha256', body, privateKey)))
}

const USAGES = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const

/** The public key of a request whose own signature holds; refuses weak and unknown keys. */
const verifiedKey = (requestPem: string): KeyObject => {
  const request = parseRequest(requestBytes(requestPem))
  const algorithm = Object.hasOwn(SIGNATURE_DIGEST, request.algorithm) ? SIGNATURE_DIGEST[request.algorithm] : undefined
  if (!algorithm) throw new Error(`its signature algorithm ${request.algorithm} is not accepted`)
  let key: KeyObject
  try {
    key = createPublicKey({ key: Buffer.from(request.publicKey), format: 'der', type: 'spki' })
  } catch (error) {
    throw new Error('its public key cannot be read', { cause: error })
  }
  const details = key.asymmetricKeyDetails
  const bits = details?.modulusLength ?? 0
  const strong =
    key.asymmetricKeyType === 'ed25519' ||
    (key.asymmetricKeyType === 'ec' && CURVES.includes(details?.namedCurve)) ||
    (key.asymmetricKeyType === 'rsa' && bits >= RSA_BITS.min && bits <= RSA_BITS.max)
  if (!strong) throw new Error('its key is neither P-256, P-384, Ed25519 nor RSA of 2048 to 4096 bits')
  if (key.asymmetricKeyType !== algorithm.key) throw new Error('its key and its signature algorithm do not match')
  if (!cryptoVerify(algorithm.digest, request.body, key, request.signature)) throw new Error('its own signature does not hold')
  return key
}

/** Pki on node:crypto. Synchronous: keys and signatures take well below a millisecond each. */
export const systemPki: Pki = {
  createAuthority(commonName, notBeforeMs, notAfterMs) {
    const { publicKey, privateKey } = freshKey()
    const name = distinguishedName(commonName, [])
    const id = keyId(publicKey)
    const certPem = certificate(privateKey, {
      issuer: name,
      subject: name,
      publicKey: spki(publicKey),
      notBeforeMs,
      notAfterMs,
      subjectKeyId: id,
      authorityKeyId: id,
      usage: 'authority',
      altNames: [],
    })
    return { certPem, keyPem: pkcs8(privateKey) }
  },
  issue(authority, request) {
    const { publicKey, privateKey } = freshKey()
    return { certPem: leaf(authority, publicKey, request), keyPem: pkcs8(privateKey) }
  },
  createRequest(commonName) {
    const { privateKey } = freshKey()
    return { requestPem: requestBy(commonName, privateKey), keyPem: pkcs8(privateKey) }
  },
  requestFor: (commonName, keyPem) => requestBy(commonName, createPrivateKey(keyPem)),
  signRequest(authority, requestPem, request) {
    let key: KeyObject
    try {
      key = verifiedKey(requestPem)
    } catch (error) {
      throw new Error(`sign certificate request: ${messageOf(error).split('\n', 1)[0]?.slice(0, NAME_CHARS_MAX)}`, { cause: error })
    }
    return leaf(authority, key, request)
  },
  createSigningKey() {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    return { privatePem: pkcs8(privateKey), publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString() }
  },
  sign: (privatePem, text) => cryptoSign(null, Buffer.from(text, 'utf8'), privatePem).toString('base64'),
  verify(publicPem, text, signatureBase64) {
    const key = createPublicKey(publicPem)
    // 64 bytes are 86 characters and two of padding; anything else is not a signature, and lax base64 would give one many spellings.
    if (!/^[A-Za-z0-9+/]{86}==$/.test(signatureBase64)) return false
    return cryptoVerify(null, Buffer.from(text, 'utf8'), key, Buffer.from(signatureBase64, 'base64'))
  },
  sha256: bytes => createHash('sha256').update(bytes).digest('hex'),
  publicKeyPin: cert =>
    createHash('sha256')
      .update(spki(new X509Certificate(cert).publicKey))
      .digest('hex'),
  distrust(authorityPem, cert, usage) {
    const authority = new X509Certificate(authorityPem)
    const certificate = new X509Certificate(cert)
    if (!authority.ca || !certificate.checkIssued(authority) || !certificate.verify(authority.publicKey))
      return 'its certificate is not signed by the pinned authority'
    return certificate.ca || !certificate.keyUsage?.includes(USAGES[usage]) ? `its certificate is not one of a ${usage}` : undefined
  },
  inspect(cert) {
    const parsed = new X509Certificate(cert)
    const { commonName, organizations } = namesOf(parsed.raw)
    return { commonName, organizations, notBeforeMs: Date.parse(parsed.validFrom), notAfterMs: Date.parse(parsed.validTo) }
  },
}
