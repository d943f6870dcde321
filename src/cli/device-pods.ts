// helio device pods and device logs: what runs on this device, why something does not, and what it wrote.

import type { DevicePod } from '../kinds/device-shapes.ts'
import { translateTimestampSince } from '../kinds/duration.ts'
import { askDevice, deviceJson } from './device-client.ts'
import { isWhole, print } from './device-print.ts'
import { usage } from './failure.ts'
import { TROUBLES_MAX } from './limits.ts'
import { plainTable } from './table.ts'
import type { VerbContext } from './verb.ts'

const podLines = (context: VerbContext, pods: readonly DevicePod[]): string[] => {
  const { flags, deps } = context
  const wide = flags.text('output') === 'wide'
  const headers = ['NAMESPACE', 'NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE', ...(wide ? ['IP', 'UID'] : [])]
  const rows = pods.map(pod => [
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
  // A held container ended because it was told to.
  if (ended === undefined || state?.waiting?.reason === 'Held') return state?.waiting?.message
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

export const pods = async (context: VerbContext): Promise<void> => {
  const value = await deviceJson(context, '/v1/pods')
  const namespace = context.flags.text('namespace')
  const all = (Array.isArray(value['items']) ? value['items'] : []) as DevicePod[]
  const items = all.filter(pod => namespace === undefined || pod.namespace === namespace)
  if (context.flags.text('output') === 'name') return context.output.write(items.map(pod => `pod/${pod.name}\n`).join(''))
  if (items.length === 0 && !isWhole(context))
    return context.output.note(`No pods on this device${namespace === undefined ? '' : ` in namespace ${namespace}`}`)
  await print(context, { ...value, items }, () => podLines(context, items))
  if (!isWhole(context)) tellTroubles(context, items)
}

/** The pod a subcommand names: `web` or `pod/web`. Throws a usage failure. */
export const podWord = (words: readonly string[], verb: string, extraHint = 'one pod at a time'): string => {
  const [pod, extra] = words
  if (pod === undefined) throw usage('name the pod', `helio device ${verb} POD -n NAMESPACE`)
  if (extra !== undefined) throw usage(`unexpected argument ${JSON.stringify(extra)}`, extraHint)
  return pod.replace(/^pods?\//, '')
}

export const logs = async (context: VerbContext): Promise<void> => {
  const { flags, output } = context
  const [, ...words] = context.words
  const pod = podWord(words, 'logs', `did you mean -c ${words[1]}?`)
  const sinceMs = flags.durationMs('since')
  const tail = flags.number('tail')
  const on = (flag: string): 'true' | undefined => (flags.on(flag) ? 'true' : undefined)
  const response = await askDevice(context, 'GET', '/v1/logs', {
    query: {
      namespace: flags.text('namespace'),
      pod,
      container: flags.text('container'),
      follow: on('follow'),
      previous: on('previous'),
      timestamps: on('timestamps'),
      tail: tail === undefined || tail < 0 ? undefined : String(tail),
      sinceSeconds: sinceMs === undefined ? undefined : String(Math.max(1, Math.ceil(sinceMs / 1000))),
      limitBytes: flags.text('limit-bytes'),
    },
  })
  for await (const chunk of response as AsyncIterable<Buffer>) await output.write(chunk)
}
