// helio device status: one device on one screen.

import type { DeviceHold, DeviceStatus } from '../kinds/device-shapes.ts'
import { translateTimestampSince } from '../kinds/duration.ts'
import { deviceJson } from './device-client.ts'
import { print } from './device-print.ts'
import { alignLines, PROSE } from './elastic-text.ts'
import type { VerbContext } from './verb.ts'

const serverText = ({ server }: DeviceStatus): string => {
  if (!server.joined) return 'never joined'
  if (server.connected) return `${server.url} (connected)`
  const last = server.lastContactSeconds === null ? 'no contact since the agent started' : `last contact ${server.lastContactSeconds} s ago`
  return `${server.url} (not connected, ${last}${server.lastError === null ? '' : `: ${server.lastError}`})`
}

/** `web/p by root, 5m ago: the reason`. */
export const holdLine = ({ namespace, name, by, at, reason }: DeviceHold, nowMs: number): string =>
  `${namespace}/${name} by ${by}, ${translateTimestampSince(at, nowMs)} ago${reason === undefined ? '' : `: ${reason}`}`

/** The first line under its label, the others below it. */
const labelled = (label: string, lines: readonly string[]): string[] => lines.map((line, i) => `${i === 0 ? `${label}:` : ''}\t${line}`)

const headText = ({ head }: DeviceStatus): string =>
  head === null ? 'none yet' : `generation ${head.generation} of epoch ${head.epoch} (${head.sha256.slice(0, 12)})`

/** Lines of `device status`. */
export const statusLines = (status: DeviceStatus, nowMs: number): string[] =>
  alignLines(
    [
      `Node:\t${status.nodeName || '<none>'}`,
      `Server:\t${serverText(status)}`,
      ...(status.profile === '' ? [] : [`Link profile:\t${status.profile}`]),
      ...(status.server.conflict === null ? [] : [`Conflict:\t${status.server.conflict}`]),
      `Desired state:\t${headText(status)}`,
      `Pods:\t${status.pods.ready} of ${status.pods.total} ready`,
      ...labelled(
        'Held',
        status.holds.map(hold => holdLine(hold, nowMs)),
      ),
      `Runtime:\t${status.runtime.version.includes('://') ? status.runtime.version : `${status.runtime.name} ${status.runtime.version}`}`,
      `Pod addresses:\t${status.podCIDR || '<none>'}`,
      `Agent:\t${status.version}, process ${status.pid}, up ${translateTimestampSince(status.startedAt, nowMs)}`,
      ...(status.clock.complaint === null ? [] : [`Clock:\t${status.clock.complaint}; used instead: ${status.clock.now}`]),
      ...labelled('Warnings', status.warnings),
    ],
    PROSE,
  )

export const status = async (context: VerbContext): Promise<void> => {
  const value = await deviceJson(context, '/v1/status')
  await print(context, value, () => statusLines(value as unknown as DeviceStatus, context.deps.clock.now()))
}
