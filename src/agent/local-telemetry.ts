// POST /v1/telemetry: measurements that programs on the device hand in, to be told upwards when the link has room. Checked whole before
// any is taken; the link bounds what waits, and counts what it drops.

import { timestamp } from '../base/clock.ts'
import { ApiError } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { Contact } from './contact.ts'
import { TELEMETRY_ITEM_CHARS_MAX, TELEMETRY_ITEMS_MAX } from './limits.ts'

export interface TelemetryDeps {
  readonly clock: { now(): number }
  readonly contact: () => Pick<Contact, 'telemetry' | 'link'> | undefined
}

type Item = Parameters<Contact['telemetry']>[0]

/** `battery/volts`, `engine.temperature`. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/

const itemOf = (value: unknown, at: number, time: string): Item => {
  const refuse = (why: string): never => {
    throw new ApiError('BadRequest', `take telemetry: items[${at}] ${why}`, {
      hint: '{"items": [{"name": "battery/volts", "value": 12.6}]}',
    })
  }
  if (!isObject(value)) return refuse('is not an object')
  const { name, value: number, json } = value
  if (typeof name !== 'string' || !NAME.test(name)) return refuse('has no name of letters, digits, ".", "_", "/" and "-"')
  if ((number === undefined) === (json === undefined)) return refuse('must have either value or json')
  if (number !== undefined && (typeof number !== 'number' || !Number.isFinite(number))) return refuse('has a value that is no number')
  if (JSON.stringify(value).length > TELEMETRY_ITEM_CHARS_MAX) return refuse(`is longer than ${TELEMETRY_ITEM_CHARS_MAX} characters`)
  return { name, time, ...(number === undefined ? { json } : { value: number }) }
}

/** Takes `{items: [{name, value | json}]}`; throws BadRequest for what is no such thing, ServiceUnavailable on a device without a server. */
export const takeTelemetry = (
  { clock, contact: found }: TelemetryDeps,
  { items }: Readonly<Record<string, unknown>>,
): { taken: number } => {
  if (!Array.isArray(items) || items.length > TELEMETRY_ITEMS_MAX)
    throw new ApiError('BadRequest', `take telemetry: items must be a list of at most ${TELEMETRY_ITEMS_MAX}`)
  const time = timestamp(clock.now())
  const checked = items.map((item, at) => itemOf(item, at, time))
  const contact = found()
  if (!contact?.link) throw new ApiError('ServiceUnavailable', 'take telemetry: this device has no server to tell it to')
  for (const item of checked) contact.telemetry(item)
  return { taken: checked.length }
}
