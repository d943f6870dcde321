// helio attach: what a running container writes from now on.

import { usage } from './failure.ts'
import { containerOf, podOf, requireRunning } from './pod-target.ts'
import { commandFailure, openRemote } from './remote-command.ts'
import { joinTerminal } from './terminal.ts'
import type { Verb, VerbContext } from './verb.ts'

const run = async (context: VerbContext): Promise<void> => {
  const { flags, words, deps, output } = context
  if (words.length > 1) throw usage(`unexpected argument ${JSON.stringify(words[1])}`)
  const client = await context.client()
  const pod = await podOf(context, client, words[0], 'attach web-5d4f-abcde')
  requireRunning(pod, 'attach to')
  const stdin = flags.on('stdin')
  const session = await openRemote(
    client,
    {
      what: 'attach',
      namespace: pod.metadata.namespace ?? '',
      pod: pod.metadata.name ?? '',
      container: containerOf(context, pod),
      command: [],
      stdin,
      tty: false,
    },
    { stdout: data => output.write(data), stderr: data => void deps.stderr.write(data), signal: context.signal },
  )
  const code = await joinTerminal(context, session, { stdin, tty: false })
  if (code !== 0) throw commandFailure(code)
}

export const verb: Verb = {
  name: 'attach',
  summary: 'show what a running container writes from now on',
  usage: ['attach POD [-c CONTAINER]', 'attach TYPE/NAME [-c CONTAINER]'],
  connects: true,
  flags: [
    { flag: 'container', short: 'c', type: 'text', value: 'NAME', describe: 'which container' },
    { flag: 'stdin', short: 'i', type: 'switch', describe: 'pass standard input on, where the container holds its own open' },
  ],
  examples: [['watch it work', 'attach web-5d4f-abcde']],
  run,
}
