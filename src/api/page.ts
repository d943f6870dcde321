// Reading a collection: at which revision, which objects, how to go on. Source: k8s API concepts, "resource versions" and "chunks".

import { ApiError, isReason } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import { storeKey, storePrefix } from '../kinds/kind.ts'
import type { Entry, Store } from '../store/store.ts'
import { RETRY_AFTER_SECONDS, SCAN_PAGE } from './limits.ts'
import type { ResourcePath } from './path.ts'
import { type ListQuery, revisionOf } from './query.ts'
import { badRequest } from './refusal.ts'
import type { Selection } from './selection.ts'
import type { ListMeta } from './table.ts'
import { presented } from './writer.ts'

export interface Page {
  readonly entries: readonly Entry[]
  readonly meta: ListMeta
}

interface Token {
  readonly revision: number
  readonly after: string
}

const TOKEN_VERSION = 'meta.k8s.io/v1'

const encodeToken = ({ revision, after }: Token): string =>
  Buffer.from(JSON.stringify({ v: TOKEN_VERSION, rv: revision, start: after })).toString('base64url')

const decodeToken = (text: string, prefix: string): Token => {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (isObject(value) && value['v'] === TOKEN_VERSION && Number.isSafeInteger(value['rv']) && String(value['start']).startsWith(prefix))
      return { revision: value['rv'] as number, after: String(value['start']) }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw badRequest('continue key is not valid: it was not made by this server for this collection')
}

const EXPIRED_CONTINUE =
  'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.'

/** A resourceVersion nobody has written yet: the client has seen another (newer) state of this server. */
export const refuseFuture = (store: Store, revision: number): void => {
  if (revision <= store.revision) return
  throw new ApiError('Timeout', `Too large resource version: ${revision}, current: ${store.revision}`, {
    details: {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
      causes: [{ field: '', type: 'ResourceVersionTooLarge', detail: 'Too large resource version' }],
    },
  })
}

/** The revision the query wants exactly, undefined for the newest. */
const revisionWanted = (store: Store, query: ListQuery, token: Token | undefined): number | undefined => {
  const asked = query.resourceVersion === '' ? 0 : revisionOf(query.resourceVersion)
  if (token) {
    if (asked > 0) throw badRequest('specifying resource version is not allowed when using continue')
    return token.revision
  }
  if (asked === 0) return undefined
  refuseFuture(store, asked)
  const exact = query.resourceVersionMatch === 'Exact' || (query.resourceVersionMatch === '' && query.limit > 0)
  return exact ? asked : undefined
}

interface Scan {
  readonly prefix: string
  readonly after: string | undefined
  readonly atRevision: number | undefined
  readonly limit: number
}

const pageMeta = (revision: number, last: Entry | undefined, remaining: number | undefined): ListMeta => ({
  resourceVersion: String(revision),
  ...(last ? { continue: encodeToken({ revision, after: last.key }) } : {}),
  ...(last && remaining !== undefined ? { remainingItemCount: remaining } : {}),
})

const listArguments = ({ prefix, after, atRevision }: Scan, limit: number): Parameters<Store['list']>[0] => ({
  prefix,
  limit,
  ...(after === undefined ? {} : { after }),
  ...(atRevision === undefined ? {} : { atRevision }),
})

const scanAll = (store: Store, scan: Scan): Page => {
  const { entries, revision, more, remaining } = store.list(listArguments(scan, scan.limit))
  return { entries, meta: pageMeta(revision, more ? entries.at(-1) : undefined, remaining) }
}

/** Looks through the collection until enough objects are found; how many remain is not known. */
const scanSelected = (store: Store, scan: Scan, wanted: (entry: Entry) => boolean): Page => {
  const found: Entry[] = []
  const step = { ...scan }
  for (;;) {
    const { entries, revision, more } = store.list(listArguments(step, scan.limit === 0 ? 0 : SCAN_PAGE))
    for (const [i, entry] of entries.entries()) {
      if (!wanted(entry)) continue
      found.push(entry)
      if (found.length === scan.limit && (more || i < entries.length - 1))
        return { entries: found, meta: pageMeta(revision, entry, undefined) }
    }
    if (!more) return { entries: found, meta: pageMeta(revision, undefined, undefined) }
    step.after = entries.at(-1)!.key
    step.atRevision = revision
  }
}

/** One page of a collection, all entries at one revision. Throws 410 Expired, 400, or 504 for a revision of the future. */
export const readPage = (store: Store, path: Omit<ResourcePath, 'name' | 'subresource'>, query: ListQuery, selection: Selection): Page => {
  const { kind, namespace } = path
  const prefix = storePrefix(kind, namespace)
  const token = query.continue === '' ? undefined : decodeToken(query.continue, prefix)
  const atRevision = revisionWanted(store, query, token)
  const wanted = (entry: Entry): boolean => selection.matches(presented(kind, entry).object)
  if (selection.name !== undefined && atRevision === undefined && (namespace !== '' || !kind.namespaced)) {
    const entry = store.get(storeKey(kind, namespace, selection.name))
    return { entries: entry && wanted(entry) ? [entry] : [], meta: pageMeta(store.revision, undefined, undefined) }
  }
  const scan: Scan = { prefix, after: token?.after, atRevision, limit: query.limit }
  try {
    return selection.all ? scanAll(store, scan) : scanSelected(store, scan, wanted)
  } catch (error) {
    if (token && isReason(error, 'Expired')) throw new ApiError('Expired', EXPIRED_CONTINUE, { cause: error })
    throw error
  }
}
