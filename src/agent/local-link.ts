// The link as an operator at the device sees and switches it: what it may cost, what it has cost today, and when it calls next.

import { ApiError } from '../base/errors.ts'
import type { DeviceLinkView } from '../kinds/device-shapes.ts'
import type { Contact } from './contact.ts'
import { isUplink } from './uplink.ts'

export interface LinkDeskDeps {
  readonly clock: { mono(): number; now(): number }
  readonly contact: () => Contact | undefined
  /** The ways to the server, in their order: `ws`, `mqtt`. */
  readonly linkWays?: readonly string[]
}

const seconds = (ms: number): number => Math.max(0, Math.round(ms / 1000))

/** GET /v1/link */
export const linkView = ({ clock, contact: found, linkWays }: LinkDeskDeps): DeviceLinkView => {
  const contact = found()
  const link = contact?.link
  const { profile, uplink, allowBulk } = link?.uplink ?? contact?.uplink.uplink ?? { uplink: 'default', profile: 'lan' }
  const line = link?.line
  const usage = link?.usage()
  const intervalMs = contact?.uplink.contactIntervalMs
  return {
    uplink,
    profile,
    allowBulk: allowBulk ?? null,
    bulkRefusal: link?.bulkRefusal() ?? null,
    ways: linkWays ?? [],
    connected: link?.connected ?? false,
    state: line?.is ?? 'new',
    lastContactSeconds: link?.lastContactMs === undefined ? null : seconds(clock.mono() - link.lastContactMs),
    lastError: contact?.lastError ?? null,
    nextDialSeconds: line?.dialAtMs === undefined ? null : seconds(line.dialAtMs - clock.mono()),
    dials: line?.dials ?? 0,
    keepaliveSeconds: line === undefined ? null : seconds(line.keepaliveMs),
    contactIntervalSeconds: intervalMs === undefined ? null : seconds(intervalMs),
    dayEndsInSeconds: usage === undefined ? null : seconds(usage.dayEndsInMs),
    perPriority: usage === undefined ? {} : { ...usage.perPriority },
  }
}

/** POST /v1/link {profile?, allowBulk?}: holds at once and over restarts. A new profile forgets what was allowed under the old. */
export const switchLink = async (deps: LinkDeskDeps, body: Readonly<Record<string, unknown>>): Promise<DeviceLinkView> => {
  const contact = deps.contact()
  if (!contact) throw new ApiError('Conflict', 'switch link: the agent is only starting', { hint: 'try again in a moment' })
  const { profile, allowBulk } = body
  const { allowBulk: before, ...present } = contact.uplink.uplink
  const keeps = profile === undefined || profile === present.profile
  const allowed = allowBulk ?? (keeps ? before : undefined)
  const uplink: unknown = {
    ...present,
    ...(profile === undefined ? {} : { profile }),
    ...(allowed === undefined ? {} : { allowBulk: allowed }),
  }
  if (!isUplink(uplink))
    throw new ApiError('BadRequest', 'switch link: profile is lan, normal or metered, allowBulk true or false', {
      hint: 'helio device link --profile metered',
    })
  await contact.setUplink({ ...contact.uplink, uplink })
  return linkView(deps)
}
