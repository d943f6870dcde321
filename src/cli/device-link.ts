// helio device link: what the link costs and may cost, and its profile, switched at run time.

import type { DeviceLinkView } from '../kinds/device-shapes.ts'
import { deviceAct, deviceJson } from './device-client.ts'
import { print } from './device-print.ts'
import { alignLines, PROSE } from './elastic-text.ts'
import { usage } from './failure.ts'
import { bytesText } from './progress.ts'
import { plainTable } from './table.ts'
import type { VerbContext } from './verb.ts'

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
] as const

/** `2h5m`, `40s`: two units at most. */
export const secondsText = (seconds: number): string => {
  const found = UNITS.findIndex(([, size]) => seconds >= size)
  const [unit, size] = UNITS[found] ?? ['s', 1]
  const [smaller, small] = UNITS[found + 1] ?? ['s', 1]
  const rest = Math.floor((seconds % size) / small)
  return `${Math.floor(seconds / size)}${unit}${found === -1 || rest === 0 ? '' : `${rest}${smaller}`}`
}

const ago = (seconds: number | null): string => (seconds === null ? 'never since the agent started' : `${secondsText(seconds)} ago`)

const STATES: Readonly<Record<string, string>> = {
  dialing: 'dialling now',
  greeting: 'connected, waiting for the server’s greeting',
  stopped: 'stopped',
  new: 'not begun',
}

const contactText = (link: DeviceLinkView): string => {
  if (link.connected) return `connected, last word ${ago(link.lastContactSeconds)}`
  const last = `last contact ${ago(link.lastContactSeconds)}`
  return `not connected, ${last}${link.lastError === null ? '' : `: ${link.lastError}`}`
}

const bulkText = ({ allowBulk, bulkRefusal }: DeviceLinkView): string => {
  const by = allowBulk === null ? 'by the profile' : 'by the operator'
  return bulkRefusal === null ? `allowed ${by}` : `refused: ${bulkRefusal}`
}

const budgetCells = (used: number, budgetBytes: number | null): string[] =>
  budgetBytes === null ? ['-', '-'] : [bytesText(budgetBytes), `${budgetBytes === 0 ? 100 : Math.floor((100 * used) / budgetBytes)}%`]

/** Lines of `device link`. */
export const linkLines = (link: DeviceLinkView): string[] => {
  const interval = link.contactIntervalSeconds
  const rows = Object.entries(link.perPriority).map(([priority, { sentBytes, receivedBytes, budgetBytes, waiting, dropped }]) => [
    priority,
    bytesText(sentBytes),
    bytesText(receivedBytes),
    ...budgetCells(sentBytes + receivedBytes, budgetBytes),
    String(waiting),
    String(dropped),
  ])
  return [
    ...alignLines(
      [
        `Uplink:\t${link.uplink}`,
        `Profile:\t${link.profile}`,
        ...(link.ways.length === 0 ? [] : [`Transport:\t${link.ways.join(', then ')}`]),
        `Contact:\t${contactText(link)}`,
        ...(interval === null ? [] : [`Calls every:\t${secondsText(interval)}`]),
        ...(link.connected
          ? []
          : [
              `Next dial:\t${link.nextDialSeconds === null ? (STATES[link.state] ?? link.state) : `in ${secondsText(link.nextDialSeconds)}`}`,
            ]),
        ...(link.keepaliveSeconds === null ? [] : [`Keepalive:\t${secondsText(link.keepaliveSeconds)}`]),
        `Bulk:\t${bulkText(link)}`,
        ...(link.dayEndsInSeconds === null ? [] : [`Today:\tends in ${secondsText(link.dayEndsInSeconds)}`]),
      ],
      PROSE,
    ),
    ...(rows.length === 0 ? [] : ['', ...plainTable(['PRIORITY', 'SENT', 'RECEIVED', 'BUDGET', 'USED', 'WAITING', 'DROPPED'], rows)]),
  ]
}

export const link = async (context: VerbContext): Promise<void> => {
  const { flags } = context
  if (context.words.length > 1) throw usage(`unexpected argument ${JSON.stringify(context.words[1])}`, 'did you mean --profile?')
  const profile = flags.text('profile')
  const change = {
    ...(profile === undefined ? {} : { profile }),
    ...(flags.has('allow-bulk') ? { allowBulk: flags.on('allow-bulk') } : {}),
  }
  const value = Object.keys(change).length === 0 ? await deviceJson(context, '/v1/link') : await deviceAct(context, '/v1/link', change)
  await print(context, value, () => linkLines(value as unknown as DeviceLinkView))
}
