// A real mosquitto on loopback for tests, with the very files that helio writes; started, killed and started again by pid.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KeyPair } from '../../src/base/pki.ts'
import { writeBrokerFiles } from '../../src/main-broker.ts'

const PROGRAM = ['/usr/sbin/mosquitto', '/usr/local/sbin/mosquitto', '/usr/bin/mosquitto'].find(
  path => spawnSync(path, ['-h'], { stdio: 'ignore' }).error === undefined,
)

/** For tap's `skip`: false where the program is there. */
export const NO_MOSQUITTO: string | false = PROGRAM ? false : 'NO MOSQUITTO IS INSTALLED: nothing through a real broker is tested'

export interface Mosquitto {
  /** `mqtts://127.0.0.1:port`. */
  readonly url: string
  readonly port: number
  readonly folder: string
  /** Its log so far. */
  log(): string
  start(): Promise<void>
  /** SIGKILL: nothing is said to anybody. */
  kill(): Promise<void>
  close(): Promise<void>
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => (address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))))
    })
  })

/** As root mosquitto becomes the user of its name, who must be able to read its files. */
const handOver = (folder: string): void => {
  if (process.getuid?.() !== 0) return
  const uid = Number(execFileSync('id', ['-u', 'mosquitto'], { encoding: 'utf8' }))
  for (const name of readdirSync(folder)) chownSync(join(folder, name), uid, uid)
}

/** Settles when it listens. */
const run = (folder: string, onLog: (text: string) => void): Promise<ChildProcess> =>
  new Promise((resolve, reject) => {
    const child = spawn(PROGRAM!, ['-c', join(folder, 'mosquitto.conf'), '-v'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, OPENSSL_CONF: join(folder, 'openssl.cnf') },
    })
    let said = ''
    const hear = (chunk: Buffer): void => {
      said = (said + chunk).slice(-20_000)
      onLog(String(chunk))
      if (/ running\b/.test(said)) resolve(child)
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.once('error', reject)
    child.once('exit', code => reject(new Error(`mosquitto ended with ${code}: ${said}`)))
  })

const ended = (child: ChildProcess): Promise<void> =>
  child.exitCode !== null || child.signalCode !== null ? Promise.resolve() : new Promise(resolve => child.once('exit', () => resolve()))

/** From a server's data folder that has its keys. */
export const openMosquitto = async (dataDir: string): Promise<Mosquitto> => {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'helio-mosquitto-'))
  chmodSync(folder, 0o755)
  writeBrokerFiles(dataDir, folder, { host: '127.0.0.1', port, bind: '127.0.0.1', folder: undefined })
  handOver(folder)
  const state: { child: ChildProcess | undefined; log: string } = { child: undefined, log: '' }
  const mosquitto: Mosquitto = {
    url: `mqtts://127.0.0.1:${port}`,
    port,
    folder,
    log: () => state.log,
    async start() {
      state.child = await run(folder, text => {
        state.log = (state.log + text).slice(-1_000_000)
      })
      // A test that breaks off leaves no broker behind.
      const { child } = state
      const end = (): void => void child.kill('SIGKILL')
      process.once('exit', end)
      child.once('exit', () => process.off('exit', end))
    },
    async kill() {
      if (!state.child) return
      state.child.kill('SIGKILL')
      await ended(state.child)
      state.child = undefined
    },
    async close() {
      await mosquitto.kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  await mosquitto.start()
  return mosquitto
}

/** A data folder with nothing but the keys of an authority. */
export const authorityFolder = (authority: KeyPair): string => {
  const dataDir = mkdtempSync(join(tmpdir(), 'helio-authority-'))
  mkdirSync(join(dataDir, 'pki'))
  writeFileSync(join(dataDir, 'pki/ca.crt'), authority.certPem)
  writeFileSync(join(dataDir, 'pki/ca.key'), authority.keyPem)
  return dataDir
}
