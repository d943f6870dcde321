// scripts/flash: arguments in, exit code out. See HELP.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { parseSeed, SEED_FILE } from '../../src/agent/seed.ts'
import { ApiError, messageOf } from '../../src/base/errors.ts'
import { openBoard, seedPlaceOf } from './board.ts'
import { confirmDisk, isBlockDevice, lookAtDisk } from './disk.ts'
import { writeFatFile } from './fat.ts'
import { flash } from './flash.ts'
import { writeSeeds } from './fleet.ts'
import { Refusal, Usage } from './refusal.ts'
import { seedTextOf } from './seed-text.ts'

const HELP = `usage: scripts/flash BASE --output OUT [flags]        puts Heliopause into an image, without booting it
       scripts/flash /dev/DISK [flags]                the same in place, on a disk that holds a base image
       scripts/flash seeds DEVICES.csv --out DIR      makes DIR/<name>/${SEED_FILE} for each device
       scripts/flash seed-to IMAGE|/dev/DISK --seed F puts a seed onto a boot partition

BASE is a raw disk image (MBR or GPT, root on ext4), a bare ext4 image, or a folder with a root tree. It is not written to. OUT is a new
file or folder, complete or not there; or a disk such as /dev/sdb, named and asked for before it is written, read back afterwards.

Flags:
  --output OUT          where to
  --role agent|server   what the board becomes (default: agent)
  --helio FILE          packaged executable for the board (default: the one in build/)
  --config PATH         AgentConfiguration or ServerConfiguration, or a folder with one: edge-configs/cell-tower
  --seed FILE           seed to put in, or made of these:
  --node-name NAME      who the device is
  --site SITE           where it stands: labels topology.kubernetes.io/zone and heliopause.io/site
  --label KEY=VALUE     label of its node; may be given again
  --server URL          where it joins; https://HOST:6443
  --token TOKEN         join token of the server. With --node-name the device gets a token of its own, good for that name alone
  --link WAY            how it reaches the server: ws, mqtt, or ws,mqtt
  --image-archive FILE  container image (OCI archive) to pre-load; may be given again
  --manifest FILE       Pods, ConfigMaps, Secrets to run from the first boot until a server speaks; may be given again. Secrets in them lie
                        unsealed on the board
  --yes                 do not ask before a disk is written (it is still refused when in use)
  --dry-run             check everything, write nothing

DEVICES.csv: the first row names the columns: name (needed), site, server, link, and label:KEY for labels. RFC 4180 quoting. With --token
each seed gets a token good for its name alone. A row that is wrong is refused with its line, and nothing is written.
`

const OPTIONS = {
  output: { type: 'string' },
  out: { type: 'string' },
  role: { type: 'string', default: 'agent' },
  helio: { type: 'string' },
  config: { type: 'string' },
  seed: { type: 'string' },
  'node-name': { type: 'string' },
  site: { type: 'string' },
  label: { type: 'string', multiple: true, default: [] as string[] },
  server: { type: 'string' },
  token: { type: 'string' },
  link: { type: 'string' },
  'image-archive': { type: 'string', multiple: true, default: [] as string[] },
  manifest: { type: 'string', multiple: true, default: [] as string[] },
  yes: { type: 'boolean', default: false },
  'dry-run': { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const

const parsed = (argv: readonly string[]) => {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw new Usage(messageOf(error), 'scripts/flash --help', { cause: error })
  }
}
type Values = ReturnType<typeof parsed>['values']

const labelsOf = (words: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    words.map(word => {
      const at = word.indexOf('=')
      if (at < 1) throw new Usage(`--label: ${JSON.stringify(word)} is not KEY=VALUE`)
      return [word.slice(0, at), word.slice(at + 1)]
    }),
  )

/** The seed that was given, or that was described; not both. */
const seedOf = async (values: Values): Promise<string | undefined> => {
  const { site, server, token, link } = values
  const made = await seedTextOf({ nodeName: values['node-name'], site, labels: labelsOf(values.label), server, token, link })
  if (values.seed === undefined) return made
  if (made !== undefined)
    throw new Usage(
      '--seed: the other flags of a seed are in that file',
      'leave --node-name, --site, --label, --server, --token, --link out',
    )
  const text = readFileSync(values.seed, 'utf8')
  await parseSeed(text, values.seed)
  return text
}

const seedTo = async (path: string, values: Values): Promise<void> => {
  const text = await seedOf(values)
  if (text === undefined) throw new Usage('seed-to: give --seed FILE, or --node-name and what else the device shall know')
  if (isBlockDevice(path))
    await confirmDisk(lookAtDisk(path), 'A seed is written to its boot partition.', { yes: values.yes, dryRun: values['dry-run'] })
  const board = openBoard(path)
  if (board.boot === undefined)
    throw new Refusal(
      `write seed to ${path}: it has no FAT partition that its system mounts on /boot or /boot/firmware`,
      'flash the image with --seed instead',
    )
  if (values['dry-run']) return void process.stdout.write('dry run: nothing was written\n')
  writeFatFile(path, board.boot, SEED_FILE, text)
  process.stdout.write(`${path}: seed written as ${seedPlaceOf(board).path} and read back\n`)
}

const perform = async (argv: readonly string[], signal: AbortSignal): Promise<void> => {
  const { values, positionals } = parsed(argv)
  const [first, second, ...more] = positionals
  if (values.help || first === undefined) return void process.stdout.write(HELP)
  const verb = first === 'seeds' || first === 'seed-to' ? first : undefined
  const subject = verb === undefined ? first : second
  if (subject === undefined || more.length > 0 || (verb === undefined && second !== undefined))
    throw new Usage(`one ${verb === 'seeds' ? 'CSV file' : 'image or disk'} is wanted`, 'scripts/flash --help')
  if (verb === 'seed-to') return seedTo(subject, values)
  if (verb === 'seeds') {
    if (values.out === undefined) throw new Usage('seeds: --out DIR is missing')
    const { out, server, token, link } = values
    const count = await writeSeeds({ csv: subject, out, server, token, link })
    return void process.stdout.write(
      `${count} seeds written to ${out}${token === undefined ? '' : ', each with a token for its own name'}\n`,
    )
  }
  if (values.role !== 'agent' && values.role !== 'server') throw new Usage(`--role: ${JSON.stringify(values.role)} is not agent or server`)
  const seedText = await seedOf(values)
  if (seedText !== undefined && values.role === 'server') throw new Usage('--role server: a server takes no seed')
  await flash({
    base: subject,
    output: values.output,
    helio: values.helio,
    role: values.role,
    config: values.config,
    seedText,
    setServer: values.server,
    archives: values['image-archive'],
    manifests: values.manifest,
    yes: values.yes,
    dryRun: values['dry-run'],
    signal,
  })
}

const main = async (): Promise<void> => {
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => stop.abort(new Refusal(`stopped by ${name}`, 'nothing was left behind')))
  try {
    await perform(process.argv.slice(2), stop.signal)
  } catch (error) {
    const shown = stop.signal.aborted ? (stop.signal.reason as unknown) : error
    const hint = shown instanceof Refusal || shown instanceof ApiError ? shown.hint : undefined
    const cause = shown instanceof Refusal && shown.cause instanceof Error ? `: ${messageOf(shown.cause).split('\n').at(-1)}` : ''
    process.stderr.write(
      `error: ${messageOf(shown).split('\n')[0]}${shown instanceof Refusal && shown.message.endsWith('refused') ? cause : ''}\n${hint ? `hint: ${hint}\n` : ''}`,
    )
    process.exitCode = shown instanceof Usage ? 2 : 1
  }
}

await main()
