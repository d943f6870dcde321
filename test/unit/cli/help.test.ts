import t from 'tap'
import { VERBS } from '../../../src/cli/index.ts'
import { commandFirst } from '../../../src/cli/run.ts'
import { runHelio } from './world.ts'

t.test('help lists every verb, and each verb explains itself', async t => {
  const overview = (await runHelio(['help'], '/d')).stdout
  for (const { name, summary, load } of VERBS) {
    const { verb } = await load()
    t.equal(verb.name, name)
    t.equal(verb.summary, summary, 'the list and the verb say the same')
    t.match(overview, `  ${name}`)
    const { code, stdout } = await runHelio([name, '--help'], '/d')
    t.equal(code, 0)
    for (const { flag } of verb.flags) t.match(stdout, `--${flag}`)
    t.equal((await runHelio(['help', name], '/d')).stdout, stdout)
    t.ok(
      stdout.split('\n').every(line => line.length <= 160),
      `${name} fits`,
    )
    const shorts = verb.flags.flatMap(spec => spec.short ?? [])
    t.equal(new Set(shorts).size, shorts.length, `${name}: no short form twice`)
  }
})

t.test('no command is usage, an unknown one names the nearest, flags of the connection may stand before the command', async t => {
  t.equal((await runHelio([], '/d')).code, 2)
  t.same(await runHelio(['gte'], '/d'), { code: 2, stdout: '', stderr: 'error: unknown command "gte"\nhint: did you mean get?\n' })
  t.equal((await runHelio(['--help'], '/d')).code, 0)
  t.equal((await runHelio(['help', 'nope'], '/d')).code, 2)
  t.match((await runHelio(['help', 'help'], '/d')).stdout, /Usage: helio COMMAND/)
  t.same(commandFirst(['-n', 'web', '--context=c', 'get', 'pods', '-o', 'name']), ['get', '-n', 'web', '--context=c', 'pods', '-o', 'name'])
  t.same(commandFirst(['-nweb', 'get']), ['get', '-nweb'])
  t.same(await runHelio(['--output', 'json', 'get'], '/d'), {
    code: 2,
    stdout: '',
    stderr: 'error: unknown command "--output"\nhint: helio help lists the commands\n',
  })
})

t.test('what this version lacks is said, with what to do instead', async t => {
  t.match(await runHelio(['edit', 'p'], '/d'), { code: 2, stderr: /hint: helio get TYPE\/NAME -o yaml/ })
  t.match(await runHelio(['device', 'xyz'], '/d'), { code: 2, stderr: /hint: there is: device status, pods, logs/ })
  t.match(await runHelio(['rollout', 'xyz'], '/d'), { code: 2, stderr: /hint: there is: rollout status, history/ })
  t.match(await runHelio(['--version', '--client'], '/d'), { code: 0, stdout: /^Client Version: v1/ })
})

t.test('colours are for terminals, and not when NO_COLOR is set', async t => {
  t.ok((await runHelio(['gte'], '/d', { tty: true })).stderr.includes('\u001b[31merror:'))
  t.notOk((await runHelio(['gte'], '/d', { tty: true, env: { NO_COLOR: '1' } })).stderr.includes('\u001b'))
})
