// helio check: can this machine do what a role needs? A line each, with what to do about it. Ends with 1 when something fails.

import { isIP } from 'node:net'
import { ExitCode, usage } from './failure.ts'
import type { CheckRow } from './install-shapes.ts'
import { asFailure } from './install-text.ts'
import { jsonText } from './object-text.ts'
import { openProgress } from './progress.ts'
import { DATA_DIR_FLAG, outputFlag, type Verb, type VerbContext } from './verb.ts'

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const

const rowLines = ({ output }: VerbContext, rows: readonly CheckRow[]): readonly string[] => {
  const width = Math.max(...rows.map(({ check }) => check.length))
  return rows.flatMap(({ check, status, found, fix }) => [
    `${output.paint(COLOURS[status], status.padEnd(4))}  ${check.padEnd(width)}  ${found}`,
    ...(fix === undefined ? [] : [`${' '.repeat(width + 8)}→ ${fix}`]),
  ])
}

const portOf = (context: VerbContext, flag: string): number | undefined => {
  const port = context.flags.number(flag)
  if (port !== undefined && (port < 1 || port > 65_535)) throw usage(`invalid value for --${flag}: a port from 1 to 65535`)
  return port
}

const run = async (context: VerbContext): Promise<void> => {
  const { deps, output, flags, words, dataDir } = context
  if (words.length > 0) throw usage(`unexpected argument ${JSON.stringify(words[0])}`, 'helio check --role server|agent')
  const server = flags.text('server')
  if (server !== undefined && !/^https:\/\/[^/\s]+\/?$/.test(server))
    throw usage(`--server: ${JSON.stringify(server)} is not https://HOST:PORT`, 'for example --server https://192.0.2.1:6443')
  const clusterCIDR = flags.text('cluster-cidr') ?? ''
  if (!/^[\d.]+\/\d+$/.test(clusterCIDR) || isIP(clusterCIDR.split('/')[0] ?? '') !== 4)
    throw usage(`--cluster-cidr: ${JSON.stringify(clusterCIDR)} is not an IPv4 range`, 'for example --cluster-cidr 10.42.0.0/16')
  const progress = openProgress(output, deps.clock)
  const rows = await deps
    .checkMachine(
      {
        role: flags.text('role') === 'server' ? 'server' : 'agent',
        dataDir,
        server,
        port: portOf(context, 'port') ?? 6443,
        mqttPort: portOf(context, 'mqtt-port'),
        clusterCIDR,
      },
      { tell: progress.show },
    )
    .catch(asFailure)
    .finally(() => progress.done())
  const count = (status: CheckRow['status']): number => rows.filter(row => row.status === status).length
  if (flags.text('output') === 'json') await output.write(jsonText({ ok: count('fail') === 0, rows }))
  else {
    for (const line of rowLines(context, rows)) await output.line(line)
    await output.line(`${count('ok')} ok, ${count('warn')} warn, ${count('fail')} fail`)
  }
  if (count('fail') > 0) throw new ExitCode(1)
}

export const verb: Verb = {
  name: 'check',
  summary: 'see whether this machine can do what a role needs, and what to do about it',
  usage: ['check [--role server|agent] [--server URL]'],
  connects: false,
  flags: [
    { flag: 'role', type: 'text', choices: ['server', 'agent'], default: 'agent', describe: 'what this machine is to be' },
    { flag: 'server', type: 'text', value: 'URL', describe: 'https://HOST:6443 that it will have to reach' },
    { flag: 'port', type: 'number', value: 'PORT', default: '6443', describe: 'port of a server' },
    { flag: 'mqtt-port', type: 'number', value: 'PORT', describe: 'MQTT port of a server, if it is to have one' },
    { flag: 'cluster-cidr', type: 'text', value: 'RANGE', default: '10.42.0.0/16', describe: 'addresses that pods will have' },
    DATA_DIR_FLAG,
    outputFlag(['json']),
  ],
  examples: [
    ['before installing a device', 'check --server https://192.0.2.1:6443'],
    ['what fails, for a script', 'check -o json'],
  ],
  run,
}
