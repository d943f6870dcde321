// Manifests from files, folders and standard input: YAML of several documents, JSON, and lists taken apart.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { messageOf } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import { Failure, usage } from './failure.ts'
import { MANIFEST_BYTES_MAX, MANIFEST_FILES_MAX } from './limits.ts'

export interface Manifest {
  readonly object: KubeObject
  /** Where it was read, for errors. */
  readonly from: string
}

const EXTENSIONS = ['.yaml', '.yml', '.json']

const readStdin = async (stdin: Readable): Promise<string> => {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stdin as AsyncIterable<Buffer | string>) {
    const buffer = Buffer.from(chunk)
    bytes += buffer.length
    if (bytes > MANIFEST_BYTES_MAX) throw new Failure(`read standard input: more than ${MANIFEST_BYTES_MAX} bytes`)
    chunks.push(buffer)
  }
  return Buffer.concat(chunks).toString()
}

/** Manifest files of a folder, sorted by name; folders inside it only when asked. */
const filesOf = (path: string, recursive: boolean): string[] => {
  const found: string[] = []
  for (const entry of readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const inside = join(path, entry.name)
    const isFolder = entry.isDirectory() || (entry.isSymbolicLink() && statSync(inside).isDirectory())
    if (isFolder && recursive) found.push(...filesOf(inside, recursive))
    else if (!isFolder && EXTENSIONS.includes(extname(entry.name))) found.push(inside)
    if (found.length > MANIFEST_FILES_MAX) throw new Failure(`read ${path}: more than ${MANIFEST_FILES_MAX} manifests`)
  }
  return found
}

const expand = (path: string, recursive: boolean): string[] => {
  if (path === '-') return [path]
  if (/^https?:\/\//.test(path)) throw usage(`${path} is not a file`, `curl -fL ${path} | helio apply -f -`)
  try {
    const found = statSync(path)
    if (!found.isDirectory()) {
      if (found.size > MANIFEST_BYTES_MAX) throw new Failure(`read ${path}: more than ${MANIFEST_BYTES_MAX} bytes`)
      return [path]
    }
    const files = filesOf(path, recursive)
    if (files.length === 0)
      throw new Failure(`read ${path}: no .yaml, .yml or .json file in it`, {
        hint: recursive ? undefined : '-R looks into the folders inside',
      })
    return files
  } catch (cause) {
    if (cause instanceof Failure) throw cause
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    throw new Failure(missing ? `the path ${JSON.stringify(path)} does not exist` : `read ${path}: ${messageOf(cause)}`, { cause })
  }
}

const documentsOf = async (text: string, from: string): Promise<unknown[]> => {
  if (/^\s*[{[]/.test(text)) {
    try {
      return [JSON.parse(text)]
    } catch (error) {
      // YAML may begin with a brace too; several JSON documents in a row are YAML only with `---` between.
      if (!(error instanceof SyntaxError)) throw error
    }
  }
  const { parseAllDocuments } = await import('yaml')
  const documents = parseAllDocuments(text, { version: '1.1', merge: true, maxAliasCount: 1000 } as Parameters<typeof parseAllDocuments>[1])
  if (!Array.isArray(documents)) return []
  return documents.map(document => {
    const [problem] = document.errors
    if (problem) throw new Failure(`read ${from}: ${problem.message.split('\n')[0]?.replace(/:$/, '')}`, { cause: problem })
    return document.toJS({ maxAliasCount: 1000 })
  })
}

const manifestsOf = (value: unknown, from: string): Manifest[] => {
  if (value === null || value === undefined) return []
  if (!isObject(value)) throw new Failure(`read ${from}: a document is not an object`)
  const { kind, apiVersion } = value
  if (typeof kind !== 'string' || kind === '') throw new Failure(`read ${from}: Object 'Kind' is missing`)
  if (typeof apiVersion !== 'string' || apiVersion === '') throw new Failure(`read ${from}: apiVersion is missing from a ${kind}`)
  if (kind.endsWith('List') && Array.isArray(value['items'])) return value['items'].flatMap(item => manifestsOf(item, from))
  const metadata = isObject(value['metadata']) ? value['metadata'] : {}
  return [{ object: { ...value, apiVersion, kind, metadata } as KubeObject, from }]
}

/** Everything the -f arguments hold, in order; throws on the first thing that is no manifest. */
export const readManifests = async (paths: readonly string[], options: { recursive: boolean; stdin: Readable }): Promise<Manifest[]> => {
  if (paths.length === 0) throw usage('give manifests with -f', 'for example: -f web.yaml, -f folder/, -f -')
  const manifests: Manifest[] = []
  for (const path of paths.flatMap(each => expand(each, options.recursive))) {
    const text = path === '-' ? await readStdin(options.stdin) : readFileSync(path, 'utf8')
    const from = path === '-' ? 'standard input' : path
    for (const document of await documentsOf(text, from)) manifests.push(...manifestsOf(document, from))
  }
  if (manifests.length === 0) throw new Failure('no objects passed to the command')
  return manifests
}
