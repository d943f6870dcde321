// Where a broker's files cannot be written that is said, and at once: asked in a process of its own, since it once never ended.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemPki } from '../../src/host/pki.ts'

const dir = mkdtempSync(join(tmpdir(), 'helio-main-broker-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

/** As `helio broker config --out` does; the error's text. */
const write = (out: string): { readonly text: string; readonly killed: boolean } => {
  const root = join(import.meta.dirname, '../..')
  const code = `
    import { writeBrokerFiles } from ${JSON.stringify(join(root, 'src/main-broker.ts'))}
    writeBrokerFiles(${JSON.stringify(dir)}, ${JSON.stringify(out)}, { host: 'localhost', port: 8883, bind: undefined, folder: undefined })`
  const { stderr, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
    timeout: 20_000,
    killSignal: 'SIGKILL',
  })
  return { text: stderr, killed: signal !== null }
}

t.test('folders are made down to the one that is asked for, and one that cannot be made is named', t => {
  mkdirSync(join(dir, 'pki'))
  const { certPem, keyPem } = systemPki.createAuthority('ca', Date.UTC(2020, 0, 1), Date.UTC(2120, 0, 1))
  writeFileSync(join(dir, 'pki/ca.crt'), certPem)
  writeFileSync(join(dir, 'pki/ca.key'), keyPem)
  write(join(dir, 'a/b/c'))
  t.equal(statSync(join(dir, 'a/b/c/broker.key')).mode & 0o777, 0o600)
  const { text, killed } = write('/proc/none/such')
  t.notOk(killed)
  t.match(text, /\/proc\/none/)
  t.end()
})
