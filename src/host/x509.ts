// The bytes of certificates and certificate requests: built and taken apart here, signed and verified in pki.ts.
// Source: RFC 5280 (certificates), RFC 2986 (PKCS#10), RFC 5480 (EC keys), RFC 8410 (Ed25519).

import { isIPv4, isIPv6 } from 'node:net'
import * as der from '../base/der.ts'

/** A request of one key and one name is below 1 KB (RSA-4096: 2 KB); more is refused unread. */
export const REQUEST_BYTES_MAX = 8 * 1024
/** A node's name may have 253 characters; upstream's bound of 64 on common names is not kept by any client. */
export const NAME_CHARS_MAX = 320
export const ORGANIZATIONS_MAX = 32
export const ALT_NAMES_MAX = 64

const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  altName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const

/** Signature algorithms a request may be signed with, and the digest each one means (null: the algorithm brings its own). */
export const SIGNATURE_DIGEST: Readonly<Record<string, { readonly digest: string | null; readonly key: 'ec' | 'rsa' | 'ed25519' }>> = {
  '1.2.840.10045.4.3.2': { digest: 'sha256', key: 'ec' },
  '1.2.840.10045.4.3.3': { digest: 'sha384', key: 'ec' },
  '1.2.840.10045.4.3.4': { digest: 'sha512', key: 'ec' },
  '1.2.840.113549.1.1.11': { digest: 'sha256', key: 'rsa' },
  '1.2.840.113549.1.1.12': { digest: 'sha384', key: 'rsa' },
  '1.2.840.113549.1.1.13': { digest: 'sha512', key: 'rsa' },
  '1.3.101.112': { digest: null, key: 'ed25519' },
}

/** AlgorithmIdentifier of ecdsa-with-SHA256, the one we sign with. */
export const ECDSA_SHA256 = der.sequence(der.oid('1.2.840.10045.4.3.2'))

const text = (chars: string): Uint8Array => der.value(der.TAG.utf8String, Buffer.from(chars, 'utf8'))

const checkName = (what: string, chars: string): void => {
  if (chars === '' || chars.length > NAME_CHARS_MAX || /\p{Cc}/u.test(chars))
    throw new Error(`write certificate: ${what} must have 1 to ${NAME_CHARS_MAX} characters and no control characters`)
}

/** A Name: organizations first, as upstream's tools print them, then the common name; one attribute a set. */
export const distinguishedName = (commonName: string, organizations: readonly string[]): Uint8Array => {
  checkName('the common name', commonName)
  if (organizations.length > ORGANIZATIONS_MAX) throw new Error(`write certificate: more than ${ORGANIZATIONS_MAX} organizations`)
  for (const organization of organizations) checkName('an organization', organization)
  const attribute = (type: string, chars: string): Uint8Array => der.set(der.sequence(der.oid(type), text(chars)))
  return der.sequence(...organizations.map(o => attribute(OID.organization, o)), attribute(OID.commonName, commonName))
}

const ipv6Bytes = (address: string): Uint8Array => {
  const [plain = ''] = address.split('%')
  const v4 = plain.includes('.') ? plain.slice(plain.lastIndexOf(':') + 1) : ''
  const hex = v4 === '' ? plain : plain.slice(0, -v4.length)
  const groups = (part: string): number[] =>
    part.split(':').flatMap(g => (g === '' ? [] : [Number.parseInt(g, 16) >> 8, Number.parseInt(g, 16) & 255]))
  const [head = '', tail] = hex.split('::')
  const left = groups(head)
  const right = [...groups(tail ?? ''), ...(v4 === '' ? [] : v4.split('.').map(Number))]
  return Uint8Array.from([...left, ...new Array<number>(16 - left.length - right.length).fill(0), ...right])
}

const altName = (entry: string): Uint8Array => {
  const [, kind, name = ''] = /^(DNS|IP):(.*)$/s.exec(entry) ?? []
  if (kind === 'IP' && isIPv4(name)) return der.contextPrimitive(7, Uint8Array.from(name.split('.').map(Number)))
  if (kind === 'IP' && isIPv6(name)) return der.contextPrimitive(7, ipv6Bytes(name))
  if (kind === 'DNS' && name.length <= 253 && /^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$/.test(name))
    return der.contextPrimitive(2, Buffer.from(name, 'latin1'))
  throw new Error(`write certificate: ${JSON.stringify(entry.slice(0, 80))} is neither DNS:<name> nor IP:<address>`)
}

export interface CertificateBody {
  readonly serial: Uint8Array
  /** DER of the issuer's and the subject's Name and of the subject's key. */
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly publicKey: Uint8Array
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly subjectKeyId: Uint8Array
  readonly authorityKeyId: Uint8Array
  readonly usage: 'authority' | 'server' | 'client'
  readonly altNames: readonly string[]
}

const extension = (id: string, critical: boolean, inner: Uint8Array): Uint8Array =>
  der.sequence(der.oid(id), ...(critical ? [der.boolean(true)] : []), der.octetString(inner))

const extensions = (body: CertificateBody): Uint8Array => {
  const authority = body.usage === 'authority'
  const altNames = [...new Set(body.altNames)]
  if (altNames.length > ALT_NAMES_MAX) throw new Error(`write certificate: more than ${ALT_NAMES_MAX} alternative names`)
  const list = [
    extension(OID.basicConstraints, true, authority ? der.sequence(der.boolean(true)) : der.sequence()),
    // Bits from the left: digitalSignature is 0, keyCertSign 5, cRLSign 6.
    extension(OID.keyUsage, true, authority ? der.bitString(Uint8Array.of(0b0000_0110), 1) : der.bitString(Uint8Array.of(0b1000_0000), 7)),
    extension(OID.subjectKeyId, false, der.octetString(body.subjectKeyId)),
    extension(OID.authorityKeyId, false, der.sequence(der.contextPrimitive(0, body.authorityKeyId))),
  ]
  if (!authority)
    list.push(extension(OID.extendedKeyUsage, false, der.sequence(der.oid(body.usage === 'server' ? OID.serverAuth : OID.clientAuth))))
  if (altNames.length > 0) list.push(extension(OID.altName, false, der.sequence(...altNames.map(altName))))
  return der.context(3, der.sequence(...list))
}

/** TBSCertificate, version 3: what the authority signs. */
export const certificateBody = (body: CertificateBody): Uint8Array => {
  if (!(body.notBeforeMs < body.notAfterMs)) throw new Error('write certificate: it would end before it begins')
  return der.sequence(
    der.context(0, der.integer(Uint8Array.of(2))),
    der.integer(body.serial),
    ECDSA_SHA256,
    body.issuer,
    der.sequence(der.time(body.notBeforeMs), der.time(body.notAfterMs)),
    body.subject,
    body.publicKey,
    extensions(body),
  )
}

/** A body with its algorithm and signature: a Certificate or a CertificationRequest. */
export const signed = (body: Uint8Array, signature: Uint8Array): Uint8Array => der.sequence(body, ECDSA_SHA256, der.bitString(signature))

/** CertificationRequestInfo without attributes. */
export const requestBody = (commonName: string, publicKey: Uint8Array): Uint8Array =>
  der.sequence(der.integer(Uint8Array.of(0)), distinguishedName(commonName, []), publicKey, der.context(0))

export interface ParsedRequest {
  readonly body: Uint8Array
  readonly publicKey: Uint8Array
  readonly algorithm: string
  readonly signature: Uint8Array
}

/** Takes a PKCS#10 request apart; nothing in it is believed yet. Throws one line on anything malformed. */
export const parseRequest = (bytes: Uint8Array): ParsedRequest => {
  if (bytes.length > REQUEST_BYTES_MAX) throw new Error(`it has more than ${REQUEST_BYTES_MAX} bytes`)
  const [info, algorithm, signature, ...rest] = der.members(der.expect(der.read(bytes), der.TAG.sequence, 'the request'))
  const [version, subject, publicKey, attributes, ...more] = der.members(der.expect(info, der.TAG.sequence, 'the request information'))
  if (rest.length > 0 || more.length > 0) throw new Error('read DER: it has members that no request has')
  const number = der.expect(version, der.TAG.integer, 'the version').content
  if (number.length !== 1 || number[0] !== 0) throw new Error('its version is not 1')
  der.expect(subject, der.TAG.sequence, 'the subject')
  der.expect(attributes, 0xa0, 'the attributes')
  const [id] = der.members(der.expect(algorithm, der.TAG.sequence, 'the signature algorithm'))
  const bits = der.expect(signature, der.TAG.bitString, 'the signature').content
  if (bits.length < 2 || bits[0] !== 0) throw new Error('read DER: the signature is not whole bytes')
  return {
    body: info!.whole,
    publicKey: der.expect(publicKey, der.TAG.sequence, 'the public key').whole,
    algorithm: der.dotted(der.expect(id, der.TAG.oid, 'the signature algorithm').content),
    signature: bits.subarray(1),
  }
}

const STRING_TAGS: readonly number[] = [der.TAG.utf8String, der.TAG.printableString, der.TAG.ia5String]

const tbsMembers = (certificate: Uint8Array): readonly der.Element[] => {
  const [tbs] = der.members(der.expect(der.read(certificate), der.TAG.sequence, 'the certificate'))
  const all = der.members(der.expect(tbs, der.TAG.sequence, 'the certificate body'))
  return all[0]?.tag === 0xa0 ? all.slice(1) : all
}

/** DER of a certificate's subject, byte for byte: the issuer field of what it signs. */
export const subjectOf = (certificate: Uint8Array): Uint8Array =>
  der.expect(tbsMembers(certificate)[4], der.TAG.sequence, 'the subject').whole

/** Common name and organizations of a certificate's subject; more than one common name is an error, none gives ''. */
export const namesOf = (certificate: Uint8Array): { readonly commonName: string; readonly organizations: readonly string[] } => {
  const commonNames: string[] = []
  const organizations: string[] = []
  for (const rdn of der.members(der.expect(tbsMembers(certificate)[4], der.TAG.sequence, 'the subject')))
    for (const attribute of der.members(rdn)) {
      const [type, name] = der.members(attribute)
      const id = der.dotted(der.expect(type, der.TAG.oid, 'an attribute type').content)
      const into = id === OID.commonName ? commonNames : id === OID.organization ? organizations : undefined
      if (!into) continue
      if (!name || !STRING_TAGS.includes(name.tag)) throw new Error('read certificate: a name is in an old encoding')
      into.push(Buffer.from(name.content).toString('utf8'))
    }
  if (commonNames.length > 1) throw new Error('read certificate: it has more than one common name')
  return { commonName: commonNames[0] ?? '', organizations }
}
