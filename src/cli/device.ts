// helio device: what the agent on this machine knows and runs, asked over its socket; works without the server.

import type { DevicePod, DeviceStatus } from '../kinds/device-shapes.ts'
import { translateTimestampSince } from '../kinds/duration.ts'
import { askDevice, deviceJson } from './device-client.ts'
import { alignLines, PROSE } from './elastic-text.ts'
import { usage } from './failure.ts'
import { TROUBLES_MAX } from './limits.ts'
import { jsonText, yamlText } from './object-text.ts'
import { didYouMean } from './suggest.ts'
import { plainTable } from './table.ts'
import { DATA_DIR_FLAG, outputFlag, type Verb, type VerbContext } from './verb.ts'

const print = async (context: VerbContext, value: Record<string, unknown>, lines: () => string[]): Promise<void> => {
  const form = context.flags.text('output')
  if (form === 'json') return context.output.write(jsonText(value))
  if (form === 'yaml') return context.output.write(await yamlText(value))
  await context.output.write(`${lines().join('\n')}\n`)
}

const serverText = ({ server }: DeviceStatus): string => {
  if (!server.joined) return 'never joined'
  if (server.connected) return `${server.url} (connected)`
  const last = server.lastContactSeconds === null ? 'no contact since the agent started' : `last contact ${server.lastContactSeconds} s ago`
  return `${server.url} (not connected, ${last}${server.lastError === null ? '' : `: ${server.lastError}`})`
}

/** Lines of `device status`. */
export const statusLines = (status: DeviceStatus, nowMs: number): string[] =>
  alignLines(
    [
      `Node:\t${status.nodeName || '<none>'}`,
      `Server:\t${serverText(status)}`,
      ...(status.server.conflict === null ? [] : [`Conflict:\t${status.server.conflict}`]),
      `Desired state:\t${status.head === null ? 'none yet' : `generation ${status.head.generation} of epoch ${status.head.epoch} (${status.head.sha256.slice(0, 12)})`}`,
      `Pods:\t${status.pods.ready} of ${status.pods.total} ready`,
      `Runtime:\t${status.runtime.version.includes('://') ? status.runtime.version : `${status.runtime.name} ${status.runtime.version}`}`,
      `Pod addresses:\t${status.podCIDR || '<none>'}`,
      `Agent:\t${status.version}, process ${status.pid}, up ${translateTimestampSince(status.startedAt, nowMs)}`,
      ...status.warnings.map((warning, i) => `${i === 0 ? 'Warnings:' : ''}\t${warning}`),
    ],
    PROSE,
  )

const podLines = (context: VerbContext, pods: readonly DevicePod[]): string[] => {
  const { flags, deps } = context
  const namespace = flags.text('namespace')
  const wide = flags.text('output') === 'wide'
  const headers = ['NAMESPACE', 'NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE', ...(wide ? ['IP', 'UID'] : [])]
  const rows = pods
    .filter(pod => namespace === undefined || pod.namespace === namespace)
    .map(pod => [
      pod.namespace,
      pod.name,
      `${pod.ready.ready}/${pod.ready.total}`,
      pod.summary,
      String(pod.restarts),
      translateTimestampSince(pod.status.startTime, deps.clock.now()),
      ...(wide ? [pod.status.podIP ?? '<none>', pod.uid] : []),
    ])
  return plainTable(headers, rows, !flags.on('no-headers'))
}

/** Why a pod does not run, in one line; undefined when it runs, or when nothing more than the table is known. */
export const troubleOf = (pod: DevicePod): string | undefined => {
  const statuses = [...(pod.status.initContainerStatuses ?? []), ...(pod.status.containerStatuses ?? [])]
  const { name, state, lastState } = statuses.find(each => each.state?.waiting || (each.state?.terminated?.exitCode ?? 0) !== 0) ?? {}
  const ended = state?.terminated ?? lastState?.terminated
  if (ended === undefined) return state?.waiting?.message
  const why = ended.message?.trim().split('\n')[0]
  return `container ${name} ended with exit code ${ended.exitCode}${ended.reason ? ` (${ended.reason})` : ''}${why ? `: ${why}` : ''}; helio device logs ${pod.name} -n ${pod.namespace}`
}

const tellTroubles = ({ output }: VerbContext, pods: readonly DevicePod[]): void => {
  const troubles = pods.flatMap(pod => {
    const trouble = pod.desired ? troubleOf(pod) : undefined
    return trouble === undefined ? [] : [`${pod.namespace}/${pod.name}: ${trouble}`]
  })
  for (const line of troubles.slice(0, TROUBLES_MAX)) output.note(line)
  if (troubles.length > TROUBLES_MAX) output.note(`and ${troubles.length - TROUBLES_MAX} pods more in trouble`)
}

const status = async (context: VerbContext): Promise<void> => {
  const value = await deviceJson(context, '/v1/status')
  await print(context, value, () => statusLines(value as unknown as DeviceStatus, context.deps.clock.now()))
}

const pods = async (context: VerbContext): Promise<void> => {
  const value = await deviceJson(context, '/v1/pods')
  const items = (Array.isArray(value['items']) ? value['items'] : []) as DevicePod[]
  if (context.flags.text('output') === 'name') return context.output.write(items.map(pod => `pod/${pod.name}\n`).join(''))
  if (items.length === 0 && !['json', 'yaml'].includes(context.flags.text('output') ?? ''))
    return context.output.note('No pods on this device')
  await print(context, value, () => podLines(context, items))
  if (['json', 'yaml'].includes(context.flags.text('output') ?? '')) return
  const namespace = context.flags.text('namespace')
  tellTroubles(
    context,
    items.filter(pod => namespace === undefined || pod.namespace === namespace),
  )
}

const logs = async (context: VerbContext, words: readonly string[]): Promise<void> => {
  const { flags, output } = context
  const [pod, extra] = words
  if (pod === undefined) throw usage('name the pod', 'helio device logs POD -n NAMESPACE')
  if (extra !== undefined) throw usage(`unexpected argument ${JSON.stringify(extra)}`, `did you mean -c ${extra}?`)
  const sinceMs = flags.durationMs('since')
  const tail = flags.number('tail')
  const on = (flag: string): 'true' | undefined => (flags.on(flag) ? 'true' : undefined)
  const response = await askDevice(context, 'GET', '/v1/logs', {
    namespace: flags.text('namespace'),
    pod: pod.replace(/^pods?\//, ''),
    container: flags.text('container'),
    follow: on('follow'),
    previous: on('previous'),
    timestamps: on('timestamps'),
    tail: tail === undefined || tail < 0 ? undefined : String(tail),
    sinceSeconds: sinceMs === undefined ? undefined : String(Math.max(1, Math.ceil(sinceMs / 1000))),
    limitBytes: flags.text('limit-bytes'),
  })
  for await (const chunk of response as AsyncIterable<Buffer>) await output.write(chunk)
}

const SUBVERBS: Readonly<Record<string, (context: VerbContext, words: readonly string[]) => Promise<void>>> = { status, pods, logs }

/** What a device will be asked in later versions. */
const LATER = ['exec', 'hold', 'resume', 'sync']

const run = async (context: VerbContext): Promise<void> => {
  const [word = 'status', ...words] = context.words
  const subverb = Object.hasOwn(SUBVERBS, word) ? SUBVERBS[word] : undefined
  if (subverb === undefined) {
    const near = didYouMean(word, Object.keys(SUBVERBS))
    const later = LATER.includes(word) ? `this version has no device ${word} yet; ` : ''
    throw usage(`unknown command "device ${word}"`, near ?? `${later}there is: device ${Object.keys(SUBVERBS).join(', ')}`)
  }
  if (subverb !== logs && words.length > 0) throw usage(`unexpected argument ${JSON.stringify(words[0])}`)
  await subverb(context, words)
}

export const verb: Verb = {
  name: 'device',
  summary: 'ask the agent on this machine, without the server',
  usage: ['device status', 'device pods [-n NAMESPACE]', 'device logs POD [-n NAMESPACE] [-c CONTAINER] [flags]'],
  subverbs: Object.keys(SUBVERBS),
  connects: false,
  flags: [
    DATA_DIR_FLAG,
    outputFlag(['json', 'yaml', 'wide', 'name']),
    { flag: 'namespace', short: 'n', type: 'text', value: 'NAME', describe: 'namespace; pods: of all unless given' },
    { flag: 'container', short: 'c', type: 'text', value: 'NAME', describe: 'logs: which container' },
    { flag: 'follow', short: 'f', type: 'switch', describe: 'logs: go on printing what is written' },
    { flag: 'previous', short: 'p', type: 'switch', describe: 'logs: of the run before the present one' },
    { flag: 'tail', type: 'number', value: 'LINES', describe: 'logs: only the last lines' },
    { flag: 'since', type: 'duration', value: 'TIME', describe: 'logs: only what is newer, as in 5m' },
    { flag: 'timestamps', type: 'switch', describe: 'logs: the time before each line' },
    { flag: 'limit-bytes', type: 'number', value: 'BYTES', describe: 'logs: end after so many bytes' },
    { flag: 'no-headers', type: 'switch', describe: 'leave out the headers' },
  ],
  examples: [
    ['is it in contact, and what runs', 'device status'],
    ['pods as the device itself sees them', 'device pods'],
    ['logs without a server', 'device logs web-5d4f-abcde -n web --tail=20'],
  ],
  run,
}
