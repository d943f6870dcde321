// helio upgrade: a new program for this machine, tried out and taken back by itself when it fails; no server is asked.

import { resolve } from 'node:path'
import { ApiError, messageOf } from '../base/errors.ts'
import { Failure, usage } from './failure.ts'
import { jsonText, yamlText } from './object-text.ts'
import { bytesText, openProgress } from './progress.ts'
import { didYouMean } from './suggest.ts'
import { plainTable } from './table.ts'
import type { UpgradeResult, UpgradeStatus, UpgradeTeller } from './upgrade-shapes.ts'
import { DATA_DIR_FLAG, outputFlag, type Verb, type VerbContext } from './verb.ts'

const failed = (cause: unknown): never => {
  throw new Failure(messageOf(cause), { cause, hint: cause instanceof ApiError ? cause.hint : undefined })
}

const seconds = ({ flags }: VerbContext, flag: string): number => {
  const given = Math.ceil((flags.durationMs(flag) ?? 0) / 1000)
  if (given < 1 || given > 86_400) throw usage(`invalid value for --${flag}: between 1s and 24h`)
  return given
}

const times = (context: VerbContext): { readonly steadySeconds: number; readonly deadlineSeconds: number } => {
  const [steadySeconds, deadlineSeconds] = [seconds(context, 'steady'), seconds(context, 'deadline')]
  if (deadlineSeconds <= steadySeconds) throw usage('--deadline must be longer than --steady')
  return { steadySeconds, deadlineSeconds }
}

/** What a result says to people; a rollback is a failure. */
const RESULTS: Readonly<Record<UpgradeResult['outcome'], (result: UpgradeResult) => string>> = {
  checked: r => `version ${r.version} would go into slot ${r.slot} and take the place of ${r.from}`,
  unchanged: r => `version ${r.version} is the one in use; nothing was changed`,
  switched: r => `version ${r.version} in slot ${r.slot} runs from the next start on; helio upgrade status tells how it goes`,
  committed: r => `version ${r.version} stays: its trial ended well (${r.from} is kept in the other slot)`,
  rolledBack: r => `version ${r.version} was rolled back, ${r.from} runs again: ${r.reason ?? 'its trial failed'}`,
  onTrial: r => `version ${r.version} is still on trial`,
}

const tellResult = async (context: VerbContext, result: UpgradeResult): Promise<void> => {
  const { flags, output } = context
  const form = flags.text('output')
  const text = RESULTS[result.outcome](result)
  if (form === 'json') await output.write(jsonText(result))
  else if (form === 'yaml') await output.write(await yamlText(result))
  if (result.outcome === 'rolledBack') throw new Failure(text, { hint: 'helio upgrade status; logs of the role tell more' })
  if (result.outcome === 'onTrial')
    throw new Failure(text, { hint: 'is the role being started? helio upgrade status; helio upgrade rollback ends it' })
  if (form === undefined) await output.line(text)
}

const withTeller = async <T>({ deps, output }: VerbContext, work: (tell: UpgradeTeller) => Promise<T>): Promise<T> => {
  const progress = openProgress(output, deps.clock)
  try {
    return await work({ progress: text => progress.show(text), note: text => output.note(text) })
  } catch (error) {
    return failed(error)
  } finally {
    progress.done()
  }
}

const upgrade = async (context: VerbContext): Promise<void> => {
  const { deps, flags, dataDir, signal } = context
  const file = flags.text('file')
  if (file === undefined) throw usage('name the executable: --file FILE', 'helio upgrade --file helio-linux-arm64')
  const [signature, publicKey] = [flags.text('signature'), flags.text('public-key')]
  const options = {
    dataDir: resolve(dataDir),
    file: resolve(file),
    signature: signature === undefined ? undefined : resolve(signature),
    publicKey: publicKey === undefined ? undefined : resolve(publicKey),
    dryRun: flags.on('dry-run'),
    restart: !flags.on('no-restart'),
    wait: !flags.on('no-wait'),
    allowDowngrade: flags.on('allow-downgrade'),
    allowUnsigned: flags.on('allow-unsigned'),
    force: flags.on('force'),
    ...times(context),
  }
  const desk = await deps.upgrades()
  await tellResult(context, await withTeller(context, tell => desk.upgrade(options, tell, signal)))
}

const rollback = async (context: VerbContext): Promise<void> => {
  const { deps, flags, dataDir, signal } = context
  const options = { dataDir: resolve(dataDir), restart: !flags.on('no-restart'), wait: !flags.on('no-wait'), ...times(context) }
  const desk = await deps.upgrades()
  await tellResult(context, await withTeller(context, tell => desk.rollback(options, tell, signal)))
}

const trialLine = ({ trial }: UpgradeStatus): string | undefined => {
  if (!trial) return undefined
  const starts = Object.entries(trial.starts).flatMap(([role, count]) =>
    count === 0 ? [] : [count === 'ok' ? `${role} healthy` : `${role} started ${count} of ${trial.startsMax} times`],
  )
  return `Trial: version ${trial.version} in slot ${trial.slot}, ${starts.join(', ') || 'not started yet'}`
}

const status = async ({ deps, flags, output, dataDir }: VerbContext): Promise<void> => {
  const desk = await deps.upgrades()
  const found = desk.status(resolve(dataDir))
  const form = flags.text('output')
  if (form === 'json') return output.write(jsonText(found))
  if (form === 'yaml') return output.write(await yamlText(found))
  const rows = found.slots.map(({ slot, state, version, target, sizeBytes, sha256 }) => [
    slot,
    state,
    version || '<none>',
    target || '<none>',
    sizeBytes === 0 ? '<none>' : bytesText(sizeBytes),
    sha256.slice(0, 12) || '<none>',
  ])
  await output.write(`${plainTable(['SLOT', 'STATE', 'VERSION', 'TARGET', 'SIZE', 'SHA-256'], rows, true).join('\n')}\n`)
  const trial = trialLine(found)
  if (trial !== undefined) await output.line(trial)
  for (const bad of found.bad) await output.line(`Bad: version ${bad.version} (${bad.sha256.slice(0, 12)}): ${bad.reason}`)
}

const run = async (context: VerbContext): Promise<void> => {
  const [word, ...more] = context.words
  if (more.length > 0) throw usage(`unexpected argument ${JSON.stringify(more[0])}`)
  if (word === undefined) return upgrade(context)
  if (word === 'status') return status(context)
  if (word === 'rollback') return rollback(context)
  const near = didYouMean(word, ['status', 'rollback'])
  throw usage(`unknown command "upgrade ${word}"`, near ?? 'there is: upgrade --file FILE, upgrade status, upgrade rollback')
}

export const verb: Verb = {
  name: 'upgrade',
  summary: 'bring in a new version of this program, on trial',
  usage: ['upgrade --file FILE [--signature FILE]', 'upgrade status', 'upgrade rollback'],
  subverbs: ['status', 'rollback'],
  connects: false,
  flags: [
    { flag: 'file', short: 'f', type: 'text', value: 'FILE', describe: 'the new executable' },
    { flag: 'signature', type: 'text', value: 'FILE', describe: 'its signature; else FILE.sig' },
    {
      flag: 'public-key',
      type: 'text',
      value: 'FILE',
      describe: 'key to trust, PEM; else the one built in and /etc/heliopause/trusted-keys/*.pem',
    },
    { flag: 'dry-run', type: 'switch', describe: 'check it, and change nothing' },
    { flag: 'no-restart', type: 'switch', describe: 'leave what runs; the new version is tried from the next start on' },
    { flag: 'no-wait', type: 'switch', describe: 'do not wait for the end of the trial' },
    { flag: 'allow-unsigned', type: 'switch', describe: 'take a file that nobody who is trusted has signed' },
    { flag: 'allow-downgrade', type: 'switch', describe: 'take an older version' },
    { flag: 'force', type: 'switch', describe: 'take a version that failed here before, or the one in use' },
    { flag: 'steady', type: 'duration', value: 'TIME', default: '60s', describe: 'how long it must stay healthy to be kept' },
    {
      flag: 'deadline',
      type: 'duration',
      value: 'TIME',
      default: '5m',
      describe: 'a start that is not healthy and steady by then has failed',
    },
    DATA_DIR_FLAG,
    outputFlag(['json', 'yaml']),
  ],
  examples: [
    ['from a stick, with its .sig beside it', 'upgrade --file /media/usb/helio-linux-arm64'],
    ['what is where', 'upgrade status'],
    ['the version before again', 'upgrade rollback'],
  ],
  run,
}
