// helio broker: what is asked for is judged before anything is written.

import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemPki } from '../../../src/host/pki.ts'
import { writeBrokerFiles } from '../../../src/main-broker.ts'
import { authorityFolder } from '../../contract/mosquitto.ts'
import { runHelio } from './world.ts'

const dir = mkdtempSync(join(tmpdir(), 'helio-broker-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

t.test('says what was written, and what to do with it', async t => {
  const ran = await runHelio(['broker', 'config', '--out', '/etc/b', '--host', 'broker.example', '--port', '18883'], dir)
  t.match(ran, { code: 0, stdout: '/etc/b/mosquitto.conf\n', stderr: /--mqtt-broker mqtts:\/\/broker\.example:18883/ })
  const json = await runHelio(['broker', 'config', '--out', '/etc/b', '--host', '2001:db8::1', '-o', 'json'], dir)
  t.match(JSON.parse(json.stdout), { url: 'mqtts://[2001:db8::1]:8883', files: ['/etc/b/mosquitto.conf'] })
})

t.test('refuses what could not be meant, or would say something else in a file of lines', async t => {
  const wrong: readonly [string[], RegExp][] = [
    [['broker'], /say what: broker config/],
    [['broker', 'config'], /say where to: --out FOLDER/],
    [['broker', 'config', '--out', 'x', '--port', '70000'], /1 to 65535/],
    [['broker', 'config', '--out', 'x', '--host', 'a b'], /not a host name/],
    [['broker', 'config', '--out', 'x', '--host', 'a\nallow_anonymous true'], /not a host name/],
    [['broker', 'config', '--out', 'x', '--bind', 'localhost'], /not an address/],
    [['broker', 'config', '--out', 'x', '--folder', '/etc\nallow_anonymous true'], /absolute path without blanks/],
  ]
  for (const [words, why] of wrong) t.match(await runHelio(words, dir), { code: 2, stderr: why }, JSON.stringify(words))
})

t.test('the files are of one authority, the key is for the broker’s eyes, and the certificate is no server’s', async t => {
  const now = Date.UTC(2026, 10, 22)
  const authority = systemPki.createAuthority('ca', now - 1, now + 1)
  const data = authorityFolder(authority)
  t.teardown(() => rmSync(data, { recursive: true, force: true }))
  const out = join(dir, 'files')
  const files = writeBrokerFiles(data, out, { host: 'broker.example', port: 8883, bind: undefined, folder: '/etc/mosquitto/h' })
  t.equal(files.length, 6)
  t.equal(statSync(join(out, 'broker.key')).mode & 0o777, 0o600)
  const { commonName, organizations } = systemPki.inspect(readFileSync(join(out, 'broker.crt'), 'utf8'))
  t.strictSame([commonName, organizations], ['broker.example', ['heliopause:broker']])
  t.match(readFileSync(join(out, 'mosquitto.conf'), 'utf8'), /^listener 8883\ncafile \/etc\/mosquitto\/h\/ca\.crt$/m)
  t.match(readFileSync(join(out, 'acl'), 'utf8'), new RegExp(`helio/v1/${systemPki.publicKeyPin(authority.certPem).slice(0, 16)}/%u/up`))
  t.throws(() => writeBrokerFiles(dir, out, { host: 'x', port: 1, bind: undefined, folder: undefined }), { message: /there is none/ })
  t.notOk(existsSync(join(dir, 'pki')))
})
