// helio exec: a command in a container, with or without a terminal; its exit code is passed on.

import { usage } from './failure.ts'
import { containerOf, podOf, requireRunning } from './pod-target.ts'
import { commandFailure, openRemote } from './remote-command.ts'
import { hasTerminal, joinTerminal } from './terminal.ts'
import type { Verb, VerbContext } from './verb.ts'

const run = async (context: VerbContext): Promise<void> => {
  const { flags, words, rest, deps, output } = context
  if (words.length > 1)
    throw usage(`unexpected argument ${JSON.stringify(words[1])}`, `write the command behind --, as in: exec ${words[0]} -- ls`)
  if (rest.length === 0) throw usage('you must specify at least one command for the container', 'for example: exec web-5d4f-abcde -- ls')
  const client = await context.client()
  const pod = await podOf(context, client, words[0], 'exec web-5d4f-abcde -- ls')
  requireRunning(pod, 'exec into')
  const stdin = flags.on('stdin')
  const tty = flags.on('tty') && hasTerminal(context)
  const session = await openRemote(
    client,
    {
      what: 'exec',
      namespace: pod.metadata.namespace ?? '',
      pod: pod.metadata.name ?? '',
      container: containerOf(context, pod),
      command: rest,
      stdin,
      tty,
    },
    { stdout: data => output.write(data), stderr: data => void deps.stderr.write(data), signal: context.signal },
  )
  const code = await joinTerminal(context, session, { stdin, tty })
  if (code !== 0) throw commandFailure(code)
}

export const verb: Verb = {
  name: 'exec',
  summary: 'run a command in a container',
  usage: ['exec POD [-c CONTAINER] [-it] -- COMMAND [ARGS]', 'exec TYPE/NAME [flags] -- COMMAND [ARGS]'],
  connects: true,
  flags: [
    { flag: 'container', short: 'c', type: 'text', value: 'NAME', describe: 'which container' },
    { flag: 'stdin', short: 'i', type: 'switch', describe: 'pass standard input on' },
    { flag: 'tty', short: 't', type: 'switch', describe: 'give the command a terminal' },
  ],
  examples: [
    ['look around', 'exec web-5d4f-abcde -- ls /etc'],
    ['a shell', 'exec -it deploy/web -- sh'],
    ['feed a file in', 'exec -i web-5d4f-abcde -- sh -c "cat > /tmp/x" < x'],
  ],
  run,
}
