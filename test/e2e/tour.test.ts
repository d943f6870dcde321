// The README's promise: scripts/up brings the hello workload up, and every command of "Five minutes" works as written.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freePort, run, temporaryDir, wipe } from './cluster.ts'

const root = join(import.meta.dirname, '../..')
const dir = temporaryDir()
const env = { HELIO_DATA_DIR: dir, HELIO_PORT: '', KUBECONFIG: join(dir, 'kubeconfig'), HELIO_CLUSTER_CIDR: '10.203.0.0/16' }

/** The shell lines of the README's tour, up to the part that kills, with the test's data folder in place of `data`. */
const tour = (): string[] => {
  const text = readFileSync(join(root, 'README.md'), 'utf8')
  const part = text.slice(text.indexOf('## Five minutes'), text.indexOf('Now be unkind'))
  return [...part.matchAll(/```sh\n([\s\S]*?)```/g)]
    .flatMap(block => block[1]!.split('\n'))
    .map(line => line.replace(/\s+#.*$/, '').replaceAll('--data-dir data', `--data-dir ${dir}`))
    .filter(line => line.startsWith('dist/helio'))
}

t.setTimeout(120_000)
t.teardown(async () => {
  await run(join(root, 'scripts/down'), ['--all'], '', env)
  wipe(dir)
})

t.test('scripts/up shows the hello pods running', async t => {
  env.HELIO_PORT = String(await freePort())
  const up = await run(join(root, 'scripts/up'), [], '', env)
  t.equal(up.code, 0, up.stderr.slice(-2000))
  t.match(up.stdout, /ready https:\/\/127\.0\.0\.1:\d+/)
  t.match(up.stdout, /hello-\S+\s+1\/1\s+Running/)
})

t.test('every command of the tour does its work', async t => {
  const commands = tour()
  t.ok(commands.length >= 8, `the tour has ${commands.length} commands`)
  for (const command of commands) {
    const [program, ...args] = command.split(' ')
    const result = await run(join(root, program!), args, '', env)
    t.equal(result.code, 0, `${command}: ${result.stderr.slice(-500)}`)
  }
})

t.test('the server killed, the agent alone adopts the pods', async t => {
  process.kill(Number(readFileSync(join(dir, 'server.pid'), 'utf8')), 'SIGKILL')
  const { startAgent } = await import('./cluster.ts')
  const agent = await startAgent(dir)
  const pods = await run(join(root, 'dist/helio'), ['device', 'pods', '--data-dir', dir], '', env)
  t.match(pods.stdout, /hello-\S+.*Running/)
  t.equal(await agent.stop(), 0)
  const again = await run(join(root, 'scripts/up'), [], '', env)
  t.equal(again.code, 0, again.stderr.slice(-2000))
})
