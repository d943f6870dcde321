// Kubernetes' protobuf bodies to the same JSON values that JSON bodies give: typed clients (kubectl create since 1.33, controllers) send
// them by default. Driven by the schema's field numbers. Protobuf cannot tell "absent" from "zero" where Go has no pointer, so zeros are
// dropped but for the fields that are pointers in Go. Answers stay JSON, which every such client takes.
// Source: k8s apimachinery runtime/serializer/protobuf, k8s.io/api generated.proto.

import { definition, type Field, type Shape } from '../kinds/schema.ts'
import { BODY_DEPTH_MAX } from './limits.ts'
import { badRequest } from './refusal.ts'
import { type Wire, type WireValue, wires } from './wire.ts'

/** Inlined structs are messages of their own: definition → number of that message and which fields it holds. */
const INLINED: Readonly<Record<string, { readonly at: number; readonly holds: (name: string) => boolean }>> = {
  Probe: { at: 1, holds: name => ['exec', 'httpGet', 'tcpSocket', 'grpc'].includes(name) },
  Volume: { at: 2, holds: name => name !== 'name' },
  EphemeralContainer: { at: 1, holds: name => name !== 'targetContainerName' },
  ConfigMapEnvSource: { at: 1, holds: name => name === 'name' },
  SecretEnvSource: { at: 1, holds: name => name === 'name' },
  ConfigMapKeySelector: { at: 1, holds: name => name === 'name' },
  SecretKeySelector: { at: 1, holds: name => name === 'name' },
  ConfigMapProjection: { at: 1, holds: name => name === 'name' },
  SecretProjection: { at: 1, holds: name => name === 'name' },
  ConfigMapVolumeSource: { at: 1, holds: name => name === 'name' },
}

/** Fields that are pointers in Go, so that their zero was meant. */
const POINTERS = new Set(
  `replicas revisionHistoryLimit progressDeadlineSeconds terminationGracePeriodSeconds activeDeadlineSeconds runAsUser runAsGroup fsGroup
  defaultMode mode deletionGracePeriodSeconds gracePeriodSeconds tolerationSeconds leaseDurationSeconds leaseTransitions priority
  parallelism completions backoffLimit ttlSecondsAfterFinished seconds automountServiceAccountToken enableServiceLinks shareProcessNamespace
  allowPrivilegeEscalation readOnlyRootFilesystem privileged runAsNonRoot optional hostUsers setHostnameAsFQDN immutable controller
  blockOwnerDeletion orphanDependents suspend started allocateLoadBalancerNodePorts maxUnavailable maxSurge minAvailable`.split(/\s+/),
)

interface Index {
  readonly fields: ReadonlyMap<number, Field>
  /** Fields of the inlined message, and its number. */
  readonly inlined: { readonly at: number; readonly fields: ReadonlyMap<number, Field> } | undefined
}

const indexes = new Map<string, Index>()

/** apiVersion 2 and kind 1 are the numbers of TypeMeta, which stands in the envelope and not in the message. */
const isTypeMeta = (fields: ReadonlyMap<string, Field>, name: string): boolean =>
  (name === 'apiVersion' || name === 'kind') && fields.get('apiVersion')?.number === 2 && fields.get('kind')?.number === 1

const indexOf = (name: string): Index => {
  const known = indexes.get(name)
  if (known) return known
  const inlining = INLINED[name.slice(name.lastIndexOf('.') + 1)]
  const [own, inner] = [new Map<number, Field>(), new Map<number, Field>()]
  const fields = definition(name)?.fields ?? new Map<string, Field>()
  for (const field of fields.values()) {
    if (field.number === undefined || isTypeMeta(fields, field.name)) continue
    ;(inlining?.holds(field.name) ? inner : own).set(field.number, field)
  }
  const index = { fields: own, inlined: inlining ? { at: inlining.at, fields: inner } : undefined }
  indexes.set(name, index)
  return index
}

const malformed = (why: string): Error => badRequest(`the object provided is unrecognized: protobuf: ${why}`)

const bytesOf = (value: WireValue): Buffer => {
  if (Buffer.isBuffer(value)) return value
  throw malformed('a message or text was expected')
}

const numberOf = (value: WireValue): number => (Buffer.isBuffer(value) ? value.readDoubleLE(0) : Number(BigInt.asIntN(64, value)))

const fieldsOf = (bytes: Buffer): Map<number, WireValue> => {
  const found = new Map<number, WireValue>()
  for (const { number, value } of wires(bytes)) found.set(number, value)
  return found
}

const textAt = (fields: ReadonlyMap<number, WireValue>, number: number): string => {
  const value = fields.get(number)
  return value === undefined ? '' : bytesOf(value).toString()
}

/** Undefined for the zero time, which stands for "not set". */
const timeOf = (bytes: Buffer, micro: boolean): string | undefined => {
  const fields = fieldsOf(bytes)
  const [seconds, nanos] = [numberOf(fields.get(1) ?? 0n), numberOf(fields.get(2) ?? 0n)]
  if (fields.size === 0 || !(Math.abs(seconds) < 1e11)) return undefined
  const text = new Date(seconds * 1000).toISOString().slice(0, 19)
  return micro ? `${text}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z` : `${text}Z`
}

/** RawExtension and FieldsV1 carry JSON text. */
const rawOf = (bytes: Buffer): unknown => {
  const text = textAt(fieldsOf(bytes), 1)
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) throw malformed('a raw value is not JSON')
    throw error
  }
}

const intOrString = (bytes: Buffer): unknown => {
  const fields = fieldsOf(bytes)
  return numberOf(fields.get(1) ?? 0n) === 0 ? numberOf(fields.get(2) ?? 0n) : textAt(fields, 3)
}

const scalar = (shape: Shape, value: WireValue): unknown => {
  switch (shape.type) {
    case 'string':
      return bytesOf(value).toString()
    case 'bytes':
      return bytesOf(value).toString('base64')
    case 'boolean':
      return numberOf(value) !== 0
    case 'quantity':
      return textAt(fieldsOf(bytesOf(value)), 1) || '0'
    case 'int-or-string':
      return intOrString(bytesOf(value))
    case 'time':
    case 'micro-time':
      return timeOf(bytesOf(value), shape.type === 'micro-time')
    case 'any':
      return rawOf(bytesOf(value))
    default:
      return numberOf(value)
  }
}

const decodeValue = (shape: Shape, value: WireValue, depth: number): unknown =>
  shape.type === 'object' ? decodeMessage(shape.ref ?? '', bytesOf(value), depth + 1) : scalar(shape, value)

const zeroFor = (shape: Shape | undefined): unknown =>
  shape?.type === 'string' || shape?.type === 'bytes' ? '' : shape?.type === 'boolean' ? false : 0

/** One value of a list; packed numbers come several in one. */
const appendItem = (list: unknown[], items: Shape, value: WireValue, depth: number): void => {
  const isNumber = items.type === 'int32' || items.type === 'int64' || items.type === 'boolean'
  if (!isNumber || !Buffer.isBuffer(value)) list.push(decodeValue(items, value, depth))
  else throw malformed('packed lists are not used by Kubernetes')
}

const setEntry = (map: Record<string, unknown>, items: Shape | undefined, bytes: Buffer, depth: number): void => {
  const fields = fieldsOf(bytes)
  const value = fields.get(2)
  const key = textAt(fields, 1)
  const decoded = value === undefined || !items ? zeroFor(items) : decodeValue(items, value, depth)
  Object.defineProperty(map, key, { value: decoded, enumerable: true, configurable: true, writable: true })
}

const isZero = (value: unknown): boolean => value === undefined || value === '' || value === 0 || value === false

const setField = (target: Record<string, unknown>, field: Field, { value }: Wire, depth: number): void => {
  if (field.type === 'list') {
    target[field.name] ??= []
    appendItem(target[field.name] as unknown[], field.items ?? { type: 'any' }, value, depth)
  } else if (field.type === 'map') {
    target[field.name] ??= {}
    setEntry(target[field.name] as Record<string, unknown>, field.items, bytesOf(value), depth)
  } else {
    const decoded = decodeValue(field, value, depth)
    const meant = decoded !== undefined && decoded !== '' && POINTERS.has(field.name)
    if (meant || !isZero(decoded)) target[field.name] = decoded
  }
}

const decodeFields = (target: Record<string, unknown>, fields: ReadonlyMap<number, Field>, bytes: Buffer, depth: number): void => {
  for (const wire of wires(bytes)) {
    const field = fields.get(wire.number)
    if (field) setField(target, field, wire, depth)
  }
}

const decodeMessage = (name: string, bytes: Buffer, depth: number): Record<string, unknown> => {
  if (depth > BODY_DEPTH_MAX) throw malformed('exceeded max depth')
  const { fields, inlined } = indexOf(name)
  const target: Record<string, unknown> = {}
  for (const wire of wires(bytes)) {
    if (inlined?.at === wire.number) decodeFields(target, inlined.fields, bytesOf(wire.value), depth)
    else {
      const field = fields.get(wire.number)
      if (field) setField(target, field, wire, depth)
    }
  }
  return target
}

const MAGIC = Buffer.from('k8s\0')

/** Finds the official name of a definition by what an object says it is. */
export type DefinitionFinder = (apiVersion: string, kind: string) => string | undefined

/** The object in a protobuf body, with apiVersion and kind. One of an unknown kind has nothing else. Throws 400 when the bytes are malformed. */
export const decodeProtobuf = (bytes: Buffer, definitionOf: DefinitionFinder): Record<string, unknown> => {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw malformed('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]')
  const envelope = fieldsOf(bytes.subarray(MAGIC.length))
  const typeMeta = fieldsOf(bytesOf(envelope.get(1) ?? Buffer.alloc(0)))
  const [apiVersion, kind] = [textAt(typeMeta, 1), textAt(typeMeta, 2)]
  const name = definitionOf(apiVersion, kind)
  const raw = envelope.get(2)
  return { apiVersion, kind, ...(name && raw !== undefined ? decodeMessage(name, bytesOf(raw), 0) : {}) }
}
