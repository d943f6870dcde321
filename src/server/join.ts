// How a device becomes a node: it proves the join token, the server signs its key under its name and makes the Node object.
// The name belongs to the first key that took it; another key needs the Node deleted first. Identity is the key (DESIGN invariant 6).

import { timingSafeEqual } from 'node:crypto'
import type { Verbs } from '../api/api.ts'
import { ApiError, isReason } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import type { Identity, Pki } from '../base/pki.ts'
import type { View } from '../controllers/controller.ts'
import { validateDeviceLabels } from '../kinds/device-labels.ts'
import { kindByName } from '../kinds/index.ts'
import type { Node } from '../kinds/node.ts'
import { LINK_PATH } from '../link/transports/index.ts'
import { allocatePodCIDR } from './addresses.ts'
import type { Credentials } from './credentials.ts'
import { deviceToken } from './device-token.ts'

export interface DeviceSigner {
  readonly credentials: Pick<Credentials, 'authority'>
  readonly pki: Pick<Pki, 'signRequest'>
  readonly nowMs: () => number
}

export interface JoinDeps {
  readonly credentials: Credentials
  readonly pki: Pki
  readonly verbs: Verbs
  readonly view: () => View
  readonly clusterCIDR: string
  /** 0: there is no MQTT endpoint. */
  readonly mqttPort?: number
  /** Told to devices that join. */
  readonly mqttBroker?: string | undefined
  readonly nowMs: () => number
}

export interface JoinAnswer {
  readonly certificate: string
  readonly ca: string
  readonly headKey: string
  readonly node: string
  readonly linkPath: string
  readonly clusterCIDR: string
  /** Of the server's own MQTT endpoint, on the host of its API; absent when there is none. */
  readonly mqttPort?: number
  /** `mqtts://host:port` of a broker the server is at; absent when there is none. */
  readonly mqttBroker?: string
}

/** Names the public key a node name belongs to. */
export const KEY_ANNOTATION = 'heliopause.io/public-key-sha256'
const CERT_DAYS = 365 * 10
const DAY_MS = 86_400_000
const NOT_BEFORE_MS = Date.UTC(2020, 0, 1)
const TEXT_MAX = 16 * 1024

const JOINER: Identity = { name: 'system:join', groups: ['system:masters'] }

const textField = (body: Record<string, unknown>, name: string): string => {
  const value = body[name]
  if (typeof value !== 'string' || value === '' || value.length > TEXT_MAX)
    throw new ApiError('BadRequest', `join: ${name} must be a text of 1 to ${TEXT_MAX} characters`)
  return value
}

/** Compares without telling by its time how much was right. */
const sameText = (pki: Pki, a: string, b: string): boolean => timingSafeEqual(Buffer.from(pki.sha256(a)), Buffer.from(pki.sha256(b)))

/** The server's own token, or the one made of it for this very name. */
const isToken = ({ pki, credentials }: JoinDeps, token: string, name: string): boolean =>
  sameText(pki, token, credentials.joinToken) || sameText(pki, token, deviceToken(credentials.joinToken, name))

const nameOf = (body: Record<string, unknown>): string => {
  const name = textField(body, 'nodeName')
  if (/^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/.test(name)) return name
  throw new ApiError('BadRequest', `join: ${JSON.stringify(name.slice(0, 80))} is not a node name`, {
    hint: 'lower case letters, digits, "-" and ".", at most 63 characters',
  })
}

const existingNode = (verbs: Verbs, name: string): Node | undefined => {
  try {
    return verbs.get({ kind: kindByName('Node')!, namespace: '', name }) as unknown as Node
  } catch (error) {
    if (isReason(error, 'NotFound')) return undefined
    throw error
  }
}

const newNode = (name: string, pin: string, podCIDR: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux' }, annotations: { [KEY_ANNOTATION]: pin } },
  spec: { podCIDR, podCIDRs: [podCIDR] },
})

const labelsOf = (body: Record<string, unknown>): Record<string, string> => {
  const labels = body['labels'] ?? {}
  if (!isObject(labels)) throw new ApiError('BadRequest', 'join: labels must be an object')
  const [cause] = validateDeviceLabels(labels, 'labels')
  if (cause) throw new ApiError('BadRequest', `join: ${cause.field}: ${cause.detail}`, { hint: 'mend the labels of the device’s seed' })
  return labels as Record<string, string>
}

/**
 * Makes the Node, or finds the one this key already owns; one that an operator made before the device came keeps what it has and is given
 * the rest. Names and ranges are handed out one at a time. Labels of a Node that has joined are the operator's.
 */
const ensureNode = async (deps: JoinDeps, name: string, pin: string, labels: Record<string, string>): Promise<void> => {
  const found = existingNode(deps.verbs, name)
  const owner = found?.metadata.annotations?.[KEY_ANNOTATION]
  if (found && owner === pin) return
  if (found && owner !== undefined)
    throw new ApiError('Forbidden', `join: a node named ${name} has joined with another key`, {
      hint: `choose another --node-name; if it is the same device and lost its key: kubectl annotate node ${name} ${KEY_ANNOTATION}-`,
    })
  const taken = new Set(
    deps
      .view()
      .list<Node>('Node')
      .map(node => node.spec?.podCIDR ?? ''),
  )
  const node = newNode(name, pin, found?.spec?.podCIDR ?? allocatePodCIDR(deps.clusterCIDR, taken))
  node.metadata.labels = { ...labels, ...node.metadata.labels }
  if (found) {
    const { annotations } = node.metadata
    const patch = { metadata: { annotations, labels: { ...node.metadata.labels, ...found.metadata.labels } }, spec: node.spec }
    await deps.verbs.patch(JOINER, { kind: kindByName('Node')!, namespace: '', name }, patch, 'merge')
    return
  }
  await deps.verbs.create(JOINER, { kind: kindByName('Node')!, namespace: '' }, node)
}

/** A device's certificate for the key of a request. Throws on a request that is none. */
export const signDevice = (deps: DeviceSigner, name: string, csr: string): string =>
  deps.pki.signRequest(deps.credentials.authority, csr, {
    commonName: `system:node:${name}`,
    organizations: ['system:nodes'],
    altNames: [],
    usage: 'client',
    notBeforeMs: NOT_BEFORE_MS,
    notAfterMs: Math.max(deps.nowMs(), NOT_BEFORE_MS) + CERT_DAYS * DAY_MS,
  })

/** POST /heliopause.io/v1/join: {token, nodeName, csr, labels?} → certificate, authority and head key. Joining again with the same key is harmless. */
export const createJoin = (deps: JoinDeps): ((body: unknown) => Promise<JoinAnswer>) => {
  const turn = { last: Promise.resolve() as Promise<unknown> }
  const join = async (body: unknown): Promise<JoinAnswer> => {
    if (!isObject(body)) throw new ApiError('BadRequest', 'join: the body must be a JSON object')
    const name = nameOf(body)
    if (!isToken(deps, textField(body, 'token'), name))
      throw new ApiError('Unauthorized', 'join: the token is not this server’s', { hint: 'read it on the server: cat DIR/join-token' })
    const labels = labelsOf(body)
    const certificate = signDevice(deps, name, textField(body, 'csr'))
    await ensureNode(deps, name, deps.pki.publicKeyPin(certificate), labels)
    return {
      certificate,
      ca: deps.credentials.authority.certPem,
      headKey: deps.credentials.headKey.publicPem,
      node: name,
      linkPath: LINK_PATH,
      clusterCIDR: deps.clusterCIDR,
      ...(deps.mqttPort ? { mqttPort: deps.mqttPort } : {}),
      ...(deps.mqttBroker === undefined ? {} : { mqttBroker: deps.mqttBroker }),
    }
  }
  return body => {
    const mine = turn.last.then(
      () => join(body),
      () => join(body),
    )
    turn.last = mine
    return mine
  }
}
