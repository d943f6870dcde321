// helio device: what the agent on this machine knows and runs, asked over its socket; works without the server.

import { dns1123Label } from '../kinds/names.ts'
import { hold, restart, resume, sync } from './device-act.ts'
import { doctor } from './device-doctor.ts'
import { exec } from './device-exec.ts'
import { link } from './device-link.ts'
import { logs, pods } from './device-pods.ts'
import { status } from './device-status.ts'
import { usage } from './failure.ts'
import { didYouMean } from './suggest.ts'
import { DATA_DIR_FLAG, outputFlag, type Verb, type VerbContext } from './verb.ts'

type Subverb = (context: VerbContext) => Promise<void>

const SUBVERBS: Readonly<Record<string, Subverb>> = { status, pods, logs, hold, resume, restart, sync, link, doctor, exec }
/** Those that take no further words. */
const ALONE: readonly string[] = ['status', 'pods', 'sync', 'doctor']

/** Forms of output besides JSON and YAML; none at all where what is printed is somebody else's. */
const FORMS: Readonly<Record<string, readonly string[]>> = { pods: ['json', 'yaml', 'wide', 'name'], logs: [], exec: [] }

const checkFlags = (word: string, { flags }: VerbContext): void => {
  const form = flags.text('output')
  const forms = FORMS[word] ?? ['json', 'yaml']
  if (form !== undefined && !forms.includes(form))
    throw usage(`device ${word} has no --output ${form}`, forms.length === 0 ? 'leave it out' : `there is: ${forms.join(', ')}`)
  const namespace = flags.text('namespace')
  if (namespace !== undefined && dns1123Label(namespace).length > 0)
    throw usage(`--namespace: ${JSON.stringify(namespace)} is not a namespace’s name`, 'lower case letters, digits and "-"')
}

const run = async (context: VerbContext): Promise<void> => {
  const [word = 'status', extra] = context.words
  const subverb = Object.hasOwn(SUBVERBS, word) ? SUBVERBS[word] : undefined
  if (subverb === undefined) {
    const names = Object.keys(SUBVERBS)
    throw usage(`unknown command "device ${word}"`, didYouMean(word, names) ?? `there is: device ${names.join(', ')}`)
  }
  if (ALONE.includes(word) && extra !== undefined) throw usage(`unexpected argument ${JSON.stringify(extra)}`)
  checkFlags(word, context)
  await subverb(context)
}

export const verb: Verb = {
  name: 'device',
  summary: 'ask the agent on this machine, without the server',
  usage: [
    'device status',
    'device pods [-n NAMESPACE]',
    'device logs POD [-n NAMESPACE] [-c CONTAINER] [flags]',
    'device exec [-it] POD [-n NAMESPACE] [-c CONTAINER] -- COMMAND…',
    'device hold POD [-n NAMESPACE] [--reason TEXT]',
    'device resume [POD] [-n NAMESPACE]',
    'device restart POD [-n NAMESPACE] [-c CONTAINER]',
    'device sync',
    'device doctor',
    'device link [--profile lan|normal|metered] [--allow-bulk]',
  ],
  subverbs: Object.keys(SUBVERBS),
  connects: false,
  flags: [
    DATA_DIR_FLAG,
    outputFlag(['json', 'yaml', 'wide', 'name']),
    { flag: 'namespace', short: 'n', type: 'text', value: 'NAME', describe: 'namespace (default: default); pods: all unless given' },
    { flag: 'container', short: 'c', type: 'text', value: 'NAME', describe: 'logs, restart, exec: which container' },
    { flag: 'follow', short: 'f', type: 'switch', describe: 'logs: go on printing what is written' },
    { flag: 'previous', short: 'p', type: 'switch', describe: 'logs: of the run before the present one' },
    { flag: 'tail', type: 'number', value: 'LINES', describe: 'logs: only the last lines' },
    { flag: 'since', type: 'duration', value: 'TIME', describe: 'logs: only what is newer, as in 5m' },
    { flag: 'timestamps', type: 'switch', describe: 'logs: the time before each line' },
    { flag: 'limit-bytes', type: 'number', value: 'BYTES', describe: 'logs: end after so many bytes' },
    { flag: 'stdin', short: 'i', type: 'switch', describe: 'exec: pass standard input on' },
    { flag: 'tty', short: 't', type: 'switch', describe: 'exec: with a terminal' },
    { flag: 'reason', type: 'text', value: 'TEXT', describe: 'hold: why, for whoever finds the pod stopped' },
    {
      flag: 'profile',
      type: 'text',
      choices: ['lan', 'normal', 'metered'],
      describe: 'link: what the link may cost from now on',
    },
    { flag: 'allow-bulk', type: 'switch', describe: 'link: let bulk go though the profile says no; =false forbids it' },
    { flag: 'no-headers', type: 'switch', describe: 'leave out the headers' },
  ],
  examples: [
    ['is it in contact, and what runs', 'device status'],
    ['pods as the device itself sees them', 'device pods'],
    ['logs without a server', 'device logs web-5d4f-abcde -n web --tail=20'],
    ['a shell in a container', 'device exec -it press-0 -n cell -- sh'],
    ['keep a pod stopped while somebody works at the machine', 'device hold press-0 -n cell --reason "guard is open"'],
    ['let it run again', 'device resume press-0 -n cell'],
    ['take the desired state of a server restored from a backup', 'device resume'],
    ['call the server now', 'device sync'],
    ['why does it not do what it is told', 'device doctor'],
    ['what the link cost today', 'device link'],
    ['the spare SIM is in', 'device link --profile metered'],
  ],
  run,
}
