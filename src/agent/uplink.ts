// What the operator (or whoever watches the interfaces) said last of the device's way out: its name, what it may cost, and how often the
// device calls. Kept over restarts; checked when it comes from outside or from the disk.

import { isObject } from '../base/json.ts'
import type { Priority, ProfileName, Uplink } from '../link/link.ts'

export const PROFILE_NAMES: readonly ProfileName[] = ['lan', 'normal', 'metered']
const PRIORITIES: readonly Priority[] = ['control', 'status', 'events', 'telemetry', 'bulk']

/** As kept, under the fact `uplink`. */
export interface KeptUplink {
  readonly uplink: Uplink
  /** Milliseconds between calls; absent: always in contact. */
  readonly contactIntervalMs?: number
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/

const isBytes = (value: unknown): boolean => value === null || (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0)

const isBudget = (value: unknown): boolean =>
  isObject(value) && Object.entries(value).every(([name, bytes]) => PRIORITIES.some(p => p === name) && isBytes(bytes))

/** An uplink of sound name, profile and budgets; fields it does not know are refused. */
export const isUplink = (value: unknown): value is Uplink => {
  if (!isObject(value)) return false
  const { uplink, profile, allowBulk, budgetBytes, ...rest } = value
  return (
    typeof uplink === 'string' &&
    NAME.test(uplink) &&
    PROFILE_NAMES.some(name => name === profile) &&
    (allowBulk === undefined || typeof allowBulk === 'boolean') &&
    (budgetBytes === undefined || isBudget(budgetBytes)) &&
    Object.keys(rest).length === 0
  )
}

export const isKeptUplink = (value: unknown): value is KeptUplink =>
  isObject(value) &&
  isUplink(value['uplink']) &&
  (value['contactIntervalMs'] === undefined || (Number.isSafeInteger(value['contactIntervalMs']) && Number(value['contactIntervalMs']) > 0))
