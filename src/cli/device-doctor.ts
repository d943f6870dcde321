// helio device doctor: what keeps this device from what is desired of it, and what to do. Exit code 0: nothing, 1: there are problems.

import type { DeviceFinding } from '../kinds/device-shapes.ts'
import { deviceJson } from './device-client.ts'
import { isWhole, print } from './device-print.ts'
import { Failure } from './failure.ts'
import type { VerbContext } from './verb.ts'

const lineOf = ({ level, what, todo }: DeviceFinding): string => `${level}: ${what}; ${todo}`

export const doctor = async (context: VerbContext): Promise<void> => {
  const { output } = context
  const value = await deviceJson(context, '/v1/doctor')
  const items = (Array.isArray(value['items']) ? value['items'] : []) as DeviceFinding[]
  const problems = items.filter(({ level }) => level === 'problem').length
  const colours = { problem: 'red', note: 'yellow' } as const
  const lines = items.map(item => lineOf(item).replace(item.level, output.paint(colours[item.level], item.level)))
  if (isWhole(context) || lines.length > 0) await print(context, value, () => lines)
  if (problems === 0) return isWhole(context) ? undefined : output.note('nothing keeps this device from what is desired of it')
  throw new Failure(
    problems === 1
      ? 'one problem keeps this device from what is desired of it'
      : `${problems} problems keep this device from what is desired of it`,
  )
}
