import t from 'tap'
import { VERBS } from '../../../src/cli/index.ts'
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

t.test('no command is usage, an unknown one names the nearest, flags before the command are refused', async t => {
  t.equal((await runHelio([], '/d')).code, 2)
  t.same(await runHelio(['gte'], '/d'), { code: 2, stdout: '', stderr: 'error: unknown command "gte"\nhint: did you mean get?\n' })
  t.equal((await runHelio(['--help'], '/d')).code, 0)
  t.equal((await runHelio(['help', 'nope'], '/d')).code, 2)
})

t.test('colours are for terminals, and not when NO_COLOR is set', async t => {
  t.ok((await runHelio(['gte'], '/d', { tty: true })).stderr.includes('\u001b[31merror:'))
  t.notOk((await runHelio(['gte'], '/d', { tty: true, env: { NO_COLOR: '1' } })).stderr.includes('\u001b'))
})
