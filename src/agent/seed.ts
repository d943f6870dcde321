// The seed of a device: a small file on the boot partition that says who it is and where to join. It is read while the device belongs to
// no server; afterwards the token in it is overwritten, since whoever holds the card could read it.

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { ApiError, messageOf } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import { nearest } from '../base/options.ts'
import { SITE_LABEL, validateDeviceLabels, ZONE_LABEL } from '../kinds/device-labels.ts'
import { isCidr, labelValue } from '../kinds/names.ts'
import { SEED_BYTES_MAX } from './limits.ts'

export const SEED_FILE = 'heliopause-seed.yaml'
/** Folders it is looked for in; the first one that has it counts. */
export const SEED_FOLDERS: readonly string[] = ['/boot/firmware', '/boot', '/etc/heliopause']
export const SEED_PLACES: readonly string[] = SEED_FOLDERS.map(folder => join(folder, SEED_FILE))

/** How to reach the server, in the words of the agent's flags. */
export interface SeedLink {
  readonly link?: string
  readonly mqttUrl?: string
  readonly mqttBroker?: string
}

export interface Seed {
  readonly nodeName?: string
  /** The site's two labels included. */
  readonly labels: Readonly<Record<string, string>>
  /** `https://host:port`. */
  readonly server?: string
  /** Left out when there is none, or none any more. */
  readonly token?: string
  /** The token was used: this file was a device's already. */
  readonly used: boolean
  readonly ways: SeedLink
  /** Addresses of pre-loaded pods before a server gave others. */
  readonly podCIDR?: string
}

/** What stands in the place of a token that was used. */
const USED = 'used'
const TOKEN = /helio1\.[0-9a-f]{64}\.[\w.-]+/g
const MQTT_URL = /^mqtts:\/\/[^/@?#\s]{1,300}$/

/** Fields with what is wrong with a text in it, if anything. */
const RULES: Readonly<Record<string, (text: string) => string | undefined>> = {
  nodeName: text =>
    /^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/.test(text)
      ? undefined
      : 'is not a node name: lower case letters, digits, "-" and ".", at most 63 characters',
  site: text => (text === '' ? 'must not be empty' : labelValue(text)[0]),
  server: text => (/^https:\/\/[^/@?#\s]+\/?$/.test(text) && URL.canParse(text) ? undefined : 'is not https://HOST:PORT'),
  token: text => (text === USED || /^helio1\.[0-9a-f]{64}\.[\w.-]+$/.test(text) ? undefined : 'is not a join token'),
  link: text => (/^(auto|(ws|mqtt)(,(ws|mqtt))*)$/.test(text) ? undefined : 'is not a way to the server: ws, mqtt, auto, or a list'),
  mqttUrl: text => (MQTT_URL.test(text) ? undefined : 'is not mqtts://HOST:PORT'),
  mqttBroker: text => (MQTT_URL.test(text) ? undefined : 'is not mqtts://HOST:PORT'),
  podCIDR: text => (isCidr(text) && !text.includes(':') ? undefined : 'is not a range such as 10.42.0.0/24'),
}
const FIELDS = ['apiVersion', 'kind', 'labels', ...Object.keys(RULES)]

const refused = (path: string, why: string, hint = 'mend the file, or make it anew with scripts/flash seeds'): ApiError =>
  new ApiError('BadRequest', `read seed ${path}: ${why}`, { hint })

const textsOf = (value: Record<string, unknown>, path: string): Record<string, string> => {
  const texts: Record<string, string> = {}
  for (const [field, rule] of Object.entries(RULES)) {
    const given = value[field]
    if (given === undefined || given === null) continue
    if (typeof given !== 'string') throw refused(path, `${field} must be a text`, 'put it in quotes')
    const text = given.trim()
    const problem = rule(text)
    // A token is a secret: it is not shown.
    if (problem !== undefined) throw refused(path, field === 'token' ? `token ${problem}` : `${field} ${JSON.stringify(text)} ${problem}`)
    texts[field] = text
  }
  return texts
}

const labelsOf = (value: unknown, site: string | undefined, path: string): Record<string, string> => {
  const own = value ?? {}
  if (!isObject(own)) throw refused(path, 'labels must be a map of texts')
  const labels = { ...(site === undefined ? {} : { [ZONE_LABEL]: site, [SITE_LABEL]: site }), ...own }
  const [cause] = validateDeviceLabels(labels, 'labels')
  if (cause) throw refused(path, `${cause.field}: ${cause.detail}`)
  return labels as Record<string, string>
}

/** Throws an ApiError of one line, with the file's name and a hint. `path` is for the messages. */
export const parseSeed = async (text: string, path: string): Promise<Seed> => {
  if (Buffer.byteLength(text) > SEED_BYTES_MAX) throw refused(path, `more than ${SEED_BYTES_MAX} bytes`)
  const { parse } = await import('yaml')
  const value = ((): unknown => {
    try {
      return parse(text, { maxAliasCount: 0 })
    } catch (error) {
      throw refused(path, `it is not YAML: ${messageOf(error).split('\n')[0]?.replace(/:$/, '')}`)
    }
  })()
  if (!isObject(value) || value['apiVersion'] !== 'heliopause.io/v1' || value['kind'] !== 'DeviceSeed')
    throw refused(path, 'it must hold apiVersion heliopause.io/v1, kind DeviceSeed')
  const unknown = Object.keys(value).find(key => !FIELDS.includes(key))
  if (unknown !== undefined) {
    const near = nearest(unknown, FIELDS)
    throw refused(
      path,
      `it has an unknown field ${JSON.stringify(unknown.slice(0, 80))}`,
      near ? `did you mean ${near}?` : FIELDS.join(', '),
    )
  }
  const { site, token, link, mqttUrl, mqttBroker, nodeName, server, podCIDR } = textsOf(value, path)
  // It is overwritten once it was used, and must be found for that.
  if (token && !text.includes(token)) throw refused(path, 'token must stand in one line, as it is')
  return {
    labels: labelsOf(value['labels'], site, path),
    used: token === USED,
    ways: { ...(link ? { link } : {}), ...(mqttUrl ? { mqttUrl } : {}), ...(mqttBroker ? { mqttBroker } : {}) },
    ...(nodeName ? { nodeName } : {}),
    ...(server ? { server } : {}),
    ...(token && token !== USED ? { token } : {}),
    ...(podCIDR ? { podCIDR } : {}),
  }
}

/** The file's text; throws when there is one that cannot be read. */
const textAt = (path: string): string => {
  try {
    const { size } = statSync(path)
    if (size > SEED_BYTES_MAX) throw refused(path, `${size} bytes, at most ${SEED_BYTES_MAX} are allowed`)
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof ApiError) throw error
    throw refused(path, messageOf(error), 'check the boot partition')
  }
}

/** The first place that has a seed. */
export const findSeed = (places: readonly string[]): string | undefined => places.find(path => existsSync(path))

/** Throws as parseSeed. */
export const readSeed = async (path: string): Promise<Seed> => parseSeed(textAt(path), path)

const overwrite = (path: string, text: string, from: string): void => {
  const fd = openSync(path, 'r+')
  try {
    const bytes = Buffer.from(text)
    for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + 1)) writeSync(fd, USED.padEnd(from.length), at)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * Overwrites every token that `isOurs` in place: the same blocks, no second copy. Answers whether there was one; throws where the file
 * cannot be written. Best effort: what a card keeps behind its controller is not in our hands.
 */
export const destroyTokens = (path: string, isOurs: (token: string) => boolean): boolean => {
  const text = textAt(path)
  const tokens = [...new Set(text.match(TOKEN) ?? [])].filter(isOurs)
  for (const token of tokens) overwrite(path, text, token)
  return tokens.length > 0
}
