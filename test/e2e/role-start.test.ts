// How server and agent refuse to start: one line, a hint where there is something to do, the right exit code, and nothing damaged.

import { mkdirSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { freePort, helio, startServer, temporaryDir, wipe } from './cluster.ts'

const dir = temporaryDir()
t.teardown(() => wipe(dir))
const data = join(dir, 'data')
const said = (stderr: string): string[] => stderr.split('\n').filter(line => line !== '' && !line.startsWith('{'))

t.test('a taken port ends the start, and the next start finds the store as it was left', async t => {
  const squatter = createServer()
  await new Promise<void>(resolve => squatter.listen(0, '127.0.0.1', resolve))
  const address = squatter.address()
  const port = String(address && typeof address === 'object' ? address.port : 0)
  const first = await startServer(data, await freePort(), '--no-agent')
  t.equal(await first.stop(), 0)
  for (const _ of [1, 2]) {
    const { code, stdout, stderr } = await helio('server', '--data-dir', data, '--port', port, '--no-agent')
    t.match({ code, stdout }, { code: 1, stdout: '' })
    t.match(said(stderr), [/^error: listen on 127\.0\.0\.1:\d+: .*address already in use/, /^hint: another program uses this port/])
    t.notMatch(stderr, /recover|lost/)
  }
  squatter.close()
  const { code, stderr } = await helio('server', '--data-dir', data, '--port', port, '--no-agent', '--bind', '192.0.2.77')
  t.equal(code, 1)
  t.match(said(stderr), [/EADDRNOTAVAIL/, /^hint: this machine has no such address/])
  const again = await startServer(data, await freePort(), '--no-agent')
  t.notMatch(again.stderr(), /recover|lost/)
  t.equal(await again.stop(), 0)
})

t.test('a server whose log nobody reads any more serves on, and ends in order', async t => {
  const server = await startServer(data, await freePort(), '--no-agent', '--log-level', 'debug')
  server.child.stdout?.destroy()
  server.child.stderr?.destroy()
  // A record of each handshake that is none.
  const { port, hostname } = new URL(server.url)
  for (let i = 0; i < 5; i++)
    await new Promise(resolve => {
      const socket = connect(Number(port), hostname, () => socket.end('no handshake\n'))
      socket.resume().on('close', resolve)
    })
  t.match(await helio('get', 'namespaces', '--data-dir', data), { code: 0, stdout: /default/ })
  t.equal(await server.stop(), 0)
})

t.test('a data folder that serves another, or cannot serve', async t => {
  const port = await freePort()
  const server = await startServer(data, port, '--runtime', 'process')
  const second = await helio('server', '--data-dir', data, '--port', String(await freePort()))
  t.equal(second.code, 1)
  t.match(said(second.stderr), [/^error: open store .*another server is using it/, /^hint: stop the other server/])
  const agent = await helio('agent', '--data-dir', data, '--runtime', 'process')
  t.equal(agent.code, 1, 'an agent ends, too')
  t.match(said(agent.stderr), [/another agent uses this folder/, /^hint: stop it first/])
  t.equal(await server.stop(), 0)
  writeFileSync(join(dir, 'file'), '')
  for (const folder of [join(dir, 'file'), join(dir, 'file/below'), '/proc/helio']) {
    const { code, stderr } = await helio('server', '--data-dir', folder)
    t.equal(code, 1)
    t.match(said(stderr), [/^error: open data folder /, /^hint: choose another with --data-dir/])
  }
})

t.test('flags that cannot work are usage', async t => {
  const fresh = join(dir, 'fresh')
  mkdirSync(fresh)
  const wrong: [string[], RegExp][] = [
    [['server', '--node-name', 'Bad Name'], /is not a node name\nhint: lower case/],
    [['agent'], /has joined no server\nhint: give --server/],
    [['agent', '--server', '192.0.2.1:6443', '--token', 'x'], /is not https:\/\/HOST:PORT/],
    [['agent', '--server', 'https://192.0.2.1:6443', '--token', 'x'], /not a join token\nhint: read it on the server/],
    [['agent', '--runtime', 'docker'], /must be one of auto, crun, process, cri/],
    [['agent', '--link', 'tcp'], /"tcp" is not a way to the server\nhint: ws, mqtt, auto/],
    [['agent', '--link', 'ws,ws'], /is not a way to the server/],
    [['agent', '--link', 'auto', '--mqtt-url', 'mqtt://x'], /is not mqtts:\/\/HOST:PORT\nhint: for example/],
    [['server', '--mqtt-broker', 'mqtt://x'], /is not mqtts:\/\/HOST:PORT\nhint: for example/],
    [['server', '--prot', '1'], /unknown flag --prot\nhint: did you mean --port\?/],
  ]
  for (const [args, words] of wrong) {
    const { code, stdout, stderr } = await helio(...args, '--data-dir', fresh)
    t.match({ code, stdout, stderr }, { code: 2, stdout: '', stderr: words }, args.join(' '))
  }
})
