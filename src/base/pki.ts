// Keys and certificates as a seam: node:crypto stands behind it in host/pki.ts. Identity is a key, not an address (DESIGN invariant 6).

/** Who a request or a connection is. */
export interface Identity {
  /** `system:admin`, `system:node:<name>`, a ServiceAccount's name, or `system:anonymous`. */
  readonly name: string
  readonly groups: readonly string[]
  /** Set for `system:node:<name>`: the device. */
  readonly node?: string
}

export interface KeyPair {
  readonly certPem: string
  readonly keyPem: string
}

export interface CertificateRequest {
  readonly commonName: string
  readonly organizations: readonly string[]
  /** SubjectAltName entries: `DNS:x`, `IP:1.2.3.4`. */
  readonly altNames: readonly string[]
  readonly usage: 'server' | 'client'
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

export interface Pki {
  /** A self-signed ECDSA P-256 authority. */
  createAuthority(commonName: string, notBeforeMs: number, notAfterMs: number): KeyPair
  /** A leaf with a fresh key. */
  issue(authority: KeyPair, request: CertificateRequest): KeyPair
  /** PKCS#10: a fresh key and a request for it (device side). */
  createRequest(commonName: string): { readonly requestPem: string; readonly keyPem: string }
  /** PKCS#10 for a key that is there already, PEM: the same identity asks again. */
  requestFor(commonName: string, keyPem: string): string
  /** Signs a PKCS#10 request after checking its own signature; names come from `request`, only the key is taken from the PEM. Throws on a bad request. */
  signRequest(authority: KeyPair, requestPem: string, request: CertificateRequest): string
  /** Ed25519 key pair for signing heads, PEM. */
  createSigningKey(): { readonly privatePem: string; readonly publicPem: string }
  sign(privatePem: string, text: string): string
  verify(publicPem: string, text: string, signatureBase64: string): boolean
  /** Hex SHA-256. */
  sha256(bytes: Uint8Array | string): string
  /** Hex SHA-256 of the public key (SubjectPublicKeyInfo) of a PEM or DER certificate: what a join token pins. */
  publicKeyPin(cert: string | Uint8Array): string
  /** Why a PEM or DER certificate is not one that this authority signed for this use, whatever its dates; undefined when it is. */
  distrust(authorityPem: string, cert: string | Uint8Array, usage: 'server' | 'client'): string | undefined
  /** Common name, organizations and validity of a PEM or DER certificate. */
  inspect(cert: string | Uint8Array): {
    readonly commonName: string
    readonly organizations: readonly string[]
    readonly notBeforeMs: number
    readonly notAfterMs: number
  }
}
