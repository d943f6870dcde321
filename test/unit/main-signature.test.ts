// What is signed of an executable, and that nothing else passes for it.

import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { faultOf, keyIdOf, parseSignature, publicKeyOf, signProgram } from '../../src/main-signature.ts'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const program = { target: 'linux-arm64', version: '0.1.0', sizeBytes: 107_043_224, sha256: 'ab'.repeat(32) }
const signature = signProgram(program, privateKey)

t.test('a signature survives being written down, and is good for the very bytes it was made for', async t => {
  const read = parseSignature(JSON.stringify(signature))
  t.strictSame(read, signature)
  t.equal(faultOf(read, program, publicKey), undefined)
  t.equal(read.keyId, keyIdOf(publicKey))
})

t.test('other bytes, another size, or a word changed in the statement are found', async t => {
  t.match(faultOf(signature, { ...program, sha256: 'cd'.repeat(32) }, publicKey), /the file has cdcd/)
  t.match(faultOf(signature, { ...program, sizeBytes: 1 }, publicKey), /the file has 1$/)
  for (const change of [
    { target: 'linux-x64' },
    { version: '9.0.0' },
    { sizeBytes: 1 },
    { sha256: 'cd'.repeat(32) },
    { signature: 'AAAA' },
  ]) {
    const forged = { ...signature, ...change }
    t.match(faultOf(forged, { ...program, ...forged }, publicKey), /forged/, JSON.stringify(change))
  }
})

t.test('a good signature by somebody else is refused, also under the name of our key', async t => {
  const stranger = generateKeyPairSync('ed25519')
  const theirs = signProgram(program, stranger.privateKey)
  t.match(faultOf(theirs, program, publicKey), /it was made with key/)
  t.match(faultOf({ ...theirs, keyId: keyIdOf(publicKey) }, program, publicKey), /forged/)
})

t.test('a key of another kind is refused', async t => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  t.match(faultOf(signature, program, rsa.publicKey), /rsa, not ed25519/)
})

t.test('what is no signature file is refused with one line', async t => {
  for (const text of [
    '',
    '{',
    '[]',
    'null',
    '{}',
    JSON.stringify({ ...signature, sizeBytes: '1' }),
    JSON.stringify({ ...signature, version: 'a\nb' }),
  ])
    t.throws(() => parseSignature(text), { message: /^read signature: [^\n]+$/ }, text)
})

t.test('a public key is read as PEM and as base64', async t => {
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string
  t.equal(keyIdOf(publicKeyOf(pem)), keyIdOf(publicKey))
  t.equal(keyIdOf(publicKeyOf(publicKey.export({ type: 'spki', format: 'der' }).toString('base64'))), keyIdOf(publicKey))
  t.throws(() => publicKeyOf('nonsense'), { message: /^read public key: / })
})
