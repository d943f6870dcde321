// Bytes of a request body to a JSON value: JSON, YAML 1.1 (as kubectl reads it) or protobuf; bounded in depth, duplicate keys found.

import { messageOf } from '../base/errors.ts'
import { jsonDepthWithin } from '../base/json.ts'
import { duplicateKeys } from './duplicate-key.ts'
import { BODY_DEPTH_MAX } from './limits.ts'
import { type DefinitionFinder, decodeProtobuf } from './protobuf.ts'
import { badRequest, unsupportedMediaType } from './refusal.ts'
import { parseYamlBody } from './yaml-body.ts'

export interface Body {
  readonly value: unknown
  /** The text as sent, for error messages. */
  readonly text: string
  /** Paths of keys that came twice: `spec.replicas`. */
  readonly duplicates: readonly string[]
}

const JSON_TYPES = new Set(['', 'application/json', 'text/json', '*/*'])
const YAML_TYPES = new Set(['application/yaml', 'application/x-yaml', 'text/yaml'])
const PROTOBUF_TYPE = 'application/vnd.kubernetes.protobuf'
export const ACCEPTED_TYPES = ['application/json', 'application/yaml', PROTOBUF_TYPE] as const

/** Lower-case media type without parameters. */
export const mediaType = (header: string | undefined): string => (header ?? '').split(';')[0]!.trim().toLowerCase()

const HEX_LENGTH = 30

/** The first bytes of a body nobody could read, as upstream shows them: JSON-like text as it is, the rest in hex. */
const summary = (bytes: Buffer): string => {
  if (bytes.length === 0) return '<empty>'
  const head = bytes.subarray(0, HEX_LENGTH)
  const text = bytes[0] === 0x7b ? head.toString() : head.toString('hex')
  return bytes.length > HEX_LENGTH ? `${text} ...` : text
}

const unreadable = (bytes: Buffer, kind: string, why: string): Error =>
  badRequest(
    `the object provided is unrecognized (must be of type ${kind}): couldn't get version/kind; json parse error: ${why} (${summary(bytes)})`,
  )

const readYaml = (text: string, bytes: Buffer, kind: string): Body => {
  try {
    return { value: parseYamlBody(text), text, duplicates: [] }
  } catch (error) {
    throw unreadable(bytes, kind, `error converting YAML to JSON: ${messageOf(error).split('\n')[0]}`)
  }
}

const readJson = (text: string, bytes: Buffer, kind: string, findDuplicates: boolean): Body => {
  if (!jsonDepthWithin(text, BODY_DEPTH_MAX)) throw unreadable(bytes, kind, 'exceeded max depth')
  try {
    return { value: JSON.parse(text), text, duplicates: findDuplicates ? duplicateKeys(text) : [] }
  } catch (error) {
    throw unreadable(bytes, kind, messageOf(error))
  }
}

export interface ReadOptions {
  readonly contentType: string | undefined
  /** The kind the body should be, for messages. */
  readonly kind: string
  readonly findDuplicates: boolean
  /** Further media types that carry JSON here, for example those of patches. */
  readonly jsonTypes?: readonly string[]
  /** Given where protobuf is taken too. */
  readonly definitionOf?: DefinitionFinder
}

/** Parses a body; 415 for media types nobody reads here, 400 for text that does not parse. */
export const readBody = (bytes: Buffer, options: ReadOptions): Body => {
  const type = mediaType(options.contentType)
  if (YAML_TYPES.has(type)) return readYaml(bytes.toString(), bytes, options.kind)
  if (JSON_TYPES.has(type) || options.jsonTypes?.includes(type))
    return readJson(bytes.toString(), bytes, options.kind, options.findDuplicates)
  if (type === PROTOBUF_TYPE && options.definitionOf)
    return { value: decodeProtobuf(bytes, options.definitionOf), text: '', duplicates: [] }
  throw unsupportedMediaType(options.jsonTypes ?? ACCEPTED_TYPES)
}
