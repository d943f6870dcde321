// The server's keys and certificates: made at first start, mended when damaged or about to expire, never replaced without need.
// Files under DIR/pki are 0600; the authority and the head-signing key are the identity of the cluster and are never regenerated.

import type { Files } from '../base/files.ts'
import type { Log } from '../base/log.ts'
import type { KeyPair, Pki } from '../base/pki.ts'
import { type Random, uuid } from '../base/random.ts'
import { BROKER_CLIENT_NAME, BROKER_ORGANIZATION } from '../link/transports/index.ts'

export interface Credentials {
  readonly authority: KeyPair
  readonly server: KeyPair
  readonly admin: KeyPair
  /** PEM; the private half signs document heads, the public half is pinned by devices at join. */
  readonly headKey: { readonly privatePem: string; readonly publicPem: string }
  /** `helio1.<hex sha256 of the authority's public key>.<secret>`. */
  readonly joinToken: string
}

export interface CredentialsDeps {
  readonly dir: string
  readonly files: Files
  readonly pki: Pki
  readonly random: Random
  readonly log: Log
  readonly nowMs: number
  /** Names and addresses the server may be called by. */
  readonly altNames: readonly string[]
}

const DAY_MS = 86_400_000
const AUTHORITY_DAYS = 365 * 30
/** Server and admin certificates are made anew at start when less than a third of this is left. */
const LEAF_DAYS = 365 * 3
/** A board's clock may be years behind the server's; certificates start to be valid before any of them was built. */
const NOT_BEFORE_MS = Date.UTC(2020, 0, 1)

export const SERVER_COMMON_NAME = 'heliopause-server'

const pairFiles = (deps: CredentialsDeps, name: string): { cert: string; key: string } => ({
  cert: `${deps.dir}/pki/${name}.crt`,
  key: `${deps.dir}/pki/${name}.key`,
})

const readPair = (deps: CredentialsDeps, name: string): KeyPair | undefined => {
  const at = pairFiles(deps, name)
  const certPem = deps.files.read(at.cert)
  const keyPem = deps.files.read(at.key)
  return certPem && keyPem ? { certPem, keyPem } : undefined
}

const writePair = (deps: CredentialsDeps, name: string, pair: KeyPair): KeyPair => {
  const at = pairFiles(deps, name)
  deps.files.write(at.key, pair.keyPem, 0o600)
  deps.files.write(at.cert, pair.certPem, 0o644)
  return pair
}

const authorityOf = (deps: CredentialsDeps): KeyPair =>
  readPair(deps, 'ca') ??
  writePair(
    deps,
    'ca',
    deps.pki.createAuthority('heliopause-ca', NOT_BEFORE_MS, Math.max(deps.nowMs, NOT_BEFORE_MS) + AUTHORITY_DAYS * DAY_MS),
  )

interface LeafWanted {
  readonly commonName: string
  readonly organizations: readonly string[]
  readonly altNames: readonly string[]
  readonly usage: 'server' | 'client'
}

/** A leaf from disk when it still serves: same names, same authority, enough time left; otherwise a new one. */
const leafOf = (deps: CredentialsDeps, authority: KeyPair, name: string, wanted: LeafWanted): KeyPair => {
  const marker = `${deps.dir}/pki/${name}.names`
  const names = `${deps.pki.publicKeyPin(authority.certPem)}\n${[...wanted.altNames].sort().join('\n')}\n`
  const found = readPair(deps, name)
  if (found && deps.files.read(marker) === names) {
    const { notAfterMs } = deps.pki.inspect(found.certPem)
    if (notAfterMs - deps.nowMs > (LEAF_DAYS * DAY_MS) / 3) return found
  }
  const notAfterMs = Math.max(deps.nowMs, NOT_BEFORE_MS) + LEAF_DAYS * DAY_MS
  const pair = writePair(deps, name, deps.pki.issue(authority, { ...wanted, notBeforeMs: NOT_BEFORE_MS, notAfterMs }))
  deps.files.write(marker, names, 0o600)
  deps.log.info('certificate issued', { name, commonName: wanted.commonName })
  return pair
}

const headKeyOf = (deps: CredentialsDeps): Credentials['headKey'] => {
  const [privateFile, publicFile] = [`${deps.dir}/pki/head.key`, `${deps.dir}/pki/head.pub`]
  const privatePem = deps.files.read(privateFile)
  const publicPem = deps.files.read(publicFile)
  if (privatePem && publicPem) return { privatePem, publicPem }
  const made = deps.pki.createSigningKey()
  deps.files.write(publicFile, made.publicPem, 0o644)
  deps.files.write(privateFile, made.privatePem, 0o600)
  return made
}

const tokenOf = (deps: CredentialsDeps, authority: KeyPair): string => {
  const file = `${deps.dir}/join-token`
  const found = deps.files.read(file)?.trim()
  if (found?.startsWith(`helio1.${deps.pki.publicKeyPin(authority.certPem)}.`)) return found
  const secret = `${uuid(deps.random)}${uuid(deps.random)}`.replaceAll('-', '')
  const token = `helio1.${deps.pki.publicKeyPin(authority.certPem)}.${secret}`
  deps.files.write(file, `${token}\n`, 0o600)
  return token
}

/** Who the server is to a broker. */
export interface BrokerIdentity {
  readonly authorityPem: string
  readonly client: KeyPair
}

/** The certificate with which the server comes to a broker; it is nobody on this server's own API. */
export const openBrokerIdentity = (deps: CredentialsDeps, { authority }: Pick<Credentials, 'authority'>): BrokerIdentity => ({
  authorityPem: authority.certPem,
  client: leafOf(deps, authority, 'broker-client', {
    commonName: BROKER_CLIENT_NAME,
    organizations: [BROKER_ORGANIZATION],
    altNames: [],
    usage: 'client',
  }),
})

export const openCredentials = (deps: CredentialsDeps): Credentials => {
  const authority = authorityOf(deps)
  return {
    authority,
    server: leafOf(deps, authority, 'server', {
      commonName: SERVER_COMMON_NAME,
      organizations: ['heliopause'],
      altNames: deps.altNames,
      usage: 'server',
    }),
    admin: leafOf(deps, authority, 'admin', {
      commonName: 'system:admin',
      organizations: ['system:masters'],
      altNames: [],
      usage: 'client',
    }),
    headKey: headKeyOf(deps),
    joinToken: tokenOf(deps, authority),
  }
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** A kubeconfig that works with kubectl as it is: everything embedded, client certificate of system:masters. */
export const kubeconfigText = (url: string, credentials: Pick<Credentials, 'authority' | 'admin'>): string => `apiVersion: v1
kind: Config
current-context: heliopause
clusters:
- name: heliopause
  cluster:
    server: ${url}
    certificate-authority-data: ${base64(credentials.authority.certPem)}
contexts:
- name: heliopause
  context:
    cluster: heliopause
    user: admin
users:
- name: admin
  user:
    client-certificate-data: ${base64(credentials.admin.certPem)}
    client-key-data: ${base64(credentials.admin.keyPem)}
`
