// The objects `create KIND NAME --flags` makes, as kubectl makes them.

import { isUtf8 } from 'node:buffer'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import type { KubeObject } from '../base/object.ts'
import { configKey } from '../kinds/names.ts'
import { Failure, usage } from './failure.ts'
import type { Flags } from './flags.ts'

export interface Generator {
  readonly names: readonly string[]
  readonly make: (words: readonly string[], flags: Flags, rest: readonly string[]) => KubeObject
}

const nameIn = (words: readonly string[], kind: string): string => {
  const [name, extra] = words
  if (name === undefined) throw usage(`exactly one NAME is required`, `helio create ${kind} NAME`)
  if (extra !== undefined) throw usage(`unexpected argument ${JSON.stringify(extra)}`)
  return name
}

const readBytes = (path: string): Buffer => {
  try {
    return readFileSync(path)
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    throw new Failure(`read ${path}: ${missing ? 'no such file' : messageOf(cause)}`, { cause })
  }
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false

const fileEntries = (argument: string): [string, Buffer][] => {
  const equals = argument.indexOf('=')
  if (equals !== -1) return [[argument.slice(0, equals), readBytes(argument.slice(equals + 1))]]
  if (!isFolder(argument)) return [[basename(argument), readBytes(argument)]]
  return readdirSync(argument, { withFileTypes: true })
    .filter(entry => entry.isFile() && configKey(entry.name).length === 0)
    .map(entry => [entry.name, readBytes(join(argument, entry.name))])
}

const literalEntry = (argument: string): [string, Buffer] => {
  const equals = argument.indexOf('=')
  if (equals < 1) throw usage(`invalid literal source ${argument}, expected key=value`)
  return [argument.slice(0, equals), Buffer.from(argument.slice(equals + 1))]
}

const envEntries = (path: string): [string, Buffer][] =>
  readBytes(path)
    .toString()
    .split(/\r?\n/)
    .map(line => line.trimStart())
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(literalEntry)

const entriesOf = (flags: Flags): Map<string, Buffer> => {
  const entries = new Map<string, Buffer>()
  const all = [
    ...flags.list('from-file').flatMap(fileEntries),
    ...flags.list('from-literal').map(literalEntry),
    ...flags.list('from-env-file').flatMap(envEntries),
  ]
  for (const [key, value] of all) {
    const [problem] = configKey(key)
    if (problem !== undefined) throw usage(`${JSON.stringify(key)} is not valid key name: ${problem}`)
    if (entries.has(key)) throw usage(`cannot add key ${JSON.stringify(key)}, another key by that name already exists`)
    entries.set(key, value)
  }
  return entries
}

const configMap = (words: readonly string[], flags: Flags): KubeObject => {
  const entries = [...entriesOf(flags)]
  const plain = entries.filter(([, value]) => isUtf8(value)).map(([key, value]) => [key, value.toString()] as const)
  const binary = entries.filter(([, value]) => !isUtf8(value)).map(([key, value]) => [key, value.toString('base64')] as const)
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: nameIn(words, 'configmap') },
    ...(plain.length > 0 ? { data: Object.fromEntries(plain) } : {}),
    ...(binary.length > 0 ? { binaryData: Object.fromEntries(binary) } : {}),
  }
}

const secret = (words: readonly string[], flags: Flags): KubeObject => {
  const [type, ...names] = words
  if (type !== 'generic') throw usage('only generic secrets are made by flags', 'helio create secret generic NAME --from-literal=KEY=VALUE')
  const data = Object.fromEntries([...entriesOf(flags)].map(([key, value]) => [key, value.toString('base64')]))
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: nameIn(names, 'secret generic') },
    type: flags.text('type') ?? 'Opaque',
    ...(Object.keys(data).length > 0 ? { data } : {}),
  }
}

/** A container's name from its image: the last part of the path, without tag and digest. */
const containerName = (image: string): string => {
  const last = image.split('@')[0]?.split('/').pop() ?? ''
  return (last.split(':')[0] ?? '').toLowerCase().replace(/[^a-z0-9-]/g, '-')
}

const deployment = (words: readonly string[], flags: Flags, rest: readonly string[]): KubeObject => {
  const name = nameIn(words, 'deployment')
  const images = flags.list('image')
  if (images.length === 0) throw usage('required flag(s) "image" not set')
  if (images.length > 1 && rest.length > 0) throw usage('cannot specify multiple --image options and command')
  const port = flags.number('port')
  const labels = { app: name }
  const containers = images.map(image => ({
    name: containerName(image),
    image,
    ...(rest.length > 0 ? { command: [...rest] } : {}),
    ...(port === undefined ? {} : { ports: [{ containerPort: port }] }),
  }))
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, labels },
    spec: {
      replicas: flags.number('replicas') ?? 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers } },
    },
  }
}

export const GENERATORS: readonly Generator[] = [
  { names: ['namespace', 'ns'], make: words => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: nameIn(words, 'namespace') } }) },
  { names: ['configmap', 'cm'], make: configMap },
  { names: ['secret'], make: secret },
  { names: ['deployment', 'deploy'], make: deployment },
]
