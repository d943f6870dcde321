// Ages as kubectl shows them. Source: k8s apimachinery util/duration HumanDuration, printers' translateTimestampSince.

import { parseTimestamp } from '../base/clock.ts'

const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const YEAR = 365 * DAY

const pair = (big: number, bigUnit: string, small: number, smallUnit: string): string =>
  small === 0 ? `${big}${bigUnit}` : `${big}${bigUnit}${small}${smallUnit}`

/** At most two units, fewer digits the longer it is: `45s`, `3m10s`, `5h`, `2d3h`, `1y40d`. */
export const humanDuration = (durationMs: number): string => {
  const seconds = Math.trunc(durationMs / 1000)
  // Clocks of machines differ by a little; a slightly negative age is no age.
  if (seconds < -1) return '<invalid>'
  if (seconds < 0) return '0s'
  if (seconds < 2 * MINUTE) return `${seconds}s`
  const minutes = Math.trunc(seconds / MINUTE)
  if (minutes < 10) return pair(minutes, 'm', seconds % MINUTE, 's')
  if (minutes < 3 * 60) return `${minutes}m`
  const hours = Math.trunc(seconds / HOUR)
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm')
  if (hours < 48) return `${hours}h`
  const days = Math.trunc(seconds / DAY)
  if (hours < 8 * 24) return pair(days, 'd', hours % 24, 'h')
  if (days < 2 * 365) return `${days}d`
  const years = Math.trunc(seconds / YEAR)
  if (days < 8 * 365) return pair(years, 'y', days % 365, 'd')
  return `${years}y`
}

/** `<unknown>` without a stamp, else how long ago it was. */
export const translateTimestampSince = (stamp: string | undefined, nowMs: number): string => {
  const at = stamp === undefined ? Number.NaN : parseTimestamp(stamp)
  return Number.isNaN(at) ? '<unknown>' : humanDuration(nowMs - at)
}
