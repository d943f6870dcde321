// helio broker config: the files an MQTT broker needs to serve this cluster, made from the server's data folder. The broker's certificate
// is for brokers alone (see tls-dial.ts): it never passes for the server.

import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { ApiError } from './base/errors.ts'
import type { KeyPair } from './base/pki.ts'
import type { BrokerFilesOptions } from './cli/cli.ts'
import { systemClock } from './host/clock.ts'
import { systemPki } from './host/pki.ts'
import { mosquittoConfig } from './link/transports/broker.ts'
import { BROKER_ORGANIZATION, clusterIdOf } from './link/transports/index.ts'

const DAY_MS = 86_400_000
const CERT_DAYS = 365 * 10
/** A board's clock may be years behind; see server/credentials.ts. */
const NOT_BEFORE_MS = Date.UTC(2020, 0, 1)

const authorityOf = (dataDir: string): KeyPair => {
  const [cert, key] = [join(dataDir, 'pki/ca.crt'), join(dataDir, 'pki/ca.key')]
  if (!existsSync(cert) || !existsSync(key))
    throw new ApiError('NotFound', `read authority: there is none in ${dataDir}`, {
      hint: 'give the --data-dir of a server that has run once',
    })
  return { certPem: readFileSync(cert, 'utf8'), keyPem: readFileSync(key, 'utf8') }
}

const altNameOf = (host: string): string => (/^[\d.]+$/.test(host) || host.includes(':') ? `IP:${host}` : `DNS:${host}`)

/** One folder after the other: Node's recursive mkdir never ends where the system says that a folder in one that is there has no parent (/proc). */
const makeFolder = (path: string): void => {
  if (existsSync(path)) return
  makeFolder(dirname(path))
  mkdirSync(path, { mode: 0o755 })
}

/** Writes the files and answers their names. Run again it makes a new key: the broker is to be started again with it. */
export const writeBrokerFiles = (dataDir: string, out: string, options: BrokerFilesOptions): readonly string[] => {
  const authority = authorityOf(dataDir)
  const folder = resolve(out)
  makeFolder(folder)
  const nowMs = Math.max(systemClock.now(), NOT_BEFORE_MS)
  const pair = systemPki.issue(authority, {
    commonName: options.host,
    organizations: [BROKER_ORGANIZATION],
    altNames: [...new Set([options.host, 'localhost', '127.0.0.1'])].map(altNameOf),
    usage: 'server',
    notBeforeMs: NOT_BEFORE_MS,
    notAfterMs: nowMs + CERT_DAYS * DAY_MS,
  })
  const config = mosquittoConfig({
    cluster: clusterIdOf(systemPki.publicKeyPin(authority.certPem)),
    folder: options.folder ?? folder,
    bind: options.bind,
    port: options.port,
  })
  const files: readonly (readonly [name: string, text: string, mode: number])[] = [
    ['mosquitto.conf', config['mosquitto.conf'], 0o644],
    ['acl', config.acl, 0o644],
    ['openssl.cnf', config['openssl.cnf'], 0o644],
    ['ca.crt', authority.certPem, 0o644],
    ['broker.crt', pair.certPem, 0o644],
    ['broker.key', pair.keyPem, 0o600],
  ]
  for (const [name, text, mode] of files) {
    const path = join(folder, name)
    writeFileSync(path, text, { mode })
    // The mode of a file that was there is its own.
    chmodSync(path, mode)
  }
  return files.map(([name]) => join(folder, name))
}
