import t from 'tap'
import { Failure } from '../../../src/cli/failure.ts'
import { type FlagSpec, parseDurationMs, parseLine } from '../../../src/cli/flags.ts'

const TABLE: FlagSpec[] = [
  { flag: 'namespace', short: 'n', type: 'text', describe: '' },
  { flag: 'all-namespaces', short: 'A', type: 'switch', describe: '' },
  { flag: 'watch', short: 'w', type: 'switch', default: true, describe: '' },
  { flag: 'filename', short: 'f', type: 'list', describe: '' },
  { flag: 'tail', type: 'number', describe: '' },
  { flag: 'timeout', type: 'duration', describe: '' },
  { flag: 'output', short: 'o', type: 'text', choices: ['json', 'yaml'], describe: '' },
  { flag: 'dry-run', type: 'text', choices: ['none', 'client', 'server'], bare: 'client', default: 'none', describe: '' },
]

const failure = (argv: string[]): Failure => {
  try {
    parseLine(argv, TABLE)
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error(`${argv.join(' ')} was taken`)
}

t.test('takes long and short flags in every spelling, anywhere in the line', async t => {
  for (const argv of [
    ['pods', '-n', 'web', '-A', '-o', 'json'],
    ['-nweb', 'pods', '-Aojson'],
    ['--namespace=web', '-Ao=json', 'pods'],
    ['--namespace', 'web', '--all-namespaces', '--output', 'json', 'pods'],
  ]) {
    const { flags, words } = parseLine(argv, TABLE)
    t.same(
      [flags.text('namespace'), flags.on('all-namespaces'), flags.text('output'), words],
      ['web', true, 'json', ['pods']],
      argv.join(' '),
    )
  }
})

t.test('defaults hold until a flag says otherwise, switches take =false, a bare flag has its own value', async t => {
  t.equal(parseLine([], TABLE).flags.on('watch'), true)
  t.equal(parseLine(['--watch=false'], TABLE).flags.on('watch'), false)
  t.equal(parseLine([], TABLE).flags.text('dry-run'), 'none')
  t.equal(parseLine(['--dry-run', 'x'], TABLE).flags.text('dry-run'), 'client')
  t.equal(parseLine(['--dry-run=server'], TABLE).flags.text('dry-run'), 'server')
  t.same(parseLine(['-f', 'a', '-f', '-', '-fb'], TABLE).flags.list('filename'), ['a', '-', 'b'])
  t.equal(parseLine(['--tail', '-1'], TABLE).flags.number('tail'), -1)
})

t.test('what follows -- is left alone', async t => {
  const { words, rest } = parseLine(['x', '--', '-n', '--nope'], TABLE)
  t.same([words, rest], [['x'], ['-n', '--nope']])
})

t.test('refuses unknown flags, missing and wrong values, naming the nearest', async t => {
  for (const [argv, message, hint] of [
    [['--namspace', 'x'], /unknown flag --namspace/, 'did you mean --namespace?'],
    [['-z'], /unknown flag -z/, undefined],
    [['-Az'], /unknown flag -z/, undefined],
    [['--tail'], /flag --tail needs a value/, undefined],
    [['--tail=many'], /invalid value "many" for --tail/, undefined],
    [['--timeout', 'soon'], /not a duration/, 'write it as 30s, 5m or 1h30m'],
    [['-o', 'jsn'], /one of json, yaml/, 'did you mean json?'],
    [['--watch=maybe'], /true or false/, undefined],
  ] as const) {
    const { message: text, hint: said, exitCode } = failure([...argv])
    t.match(text, message)
    t.equal(said, hint)
    t.equal(exitCode, 2)
  }
})

t.test('reads durations as Go writes them', async t => {
  t.same(
    ['0', '90', '1500ms', '90s', '1h30m', '1.5m', '2d'].map(parseDurationMs),
    [0, 90_000, 1500, 90_000, 5_400_000, 90_000, 172_800_000],
  )
  t.same(['', 's', '5x', '-5s', '5 s'].map(parseDurationMs), [undefined, undefined, undefined, undefined, undefined])
})
