// Objects as JSON, YAML or names on standard output, as kubectl prints them: sorted keys, no managedFields.

import { isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import { singularOf } from './resources.ts'

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map(key => [key, sorted(value[key])]),
  )
}

/** What the API keeps for itself is left out: who set which field. */
export const withoutManagedFields = <T extends Record<string, unknown>>(object: T): T => {
  if (Array.isArray(object['items']))
    return { ...object, items: object['items'].map(item => (isObject(item) ? withoutManagedFields(item) : item)) }
  if (!isObject(object['metadata']) || object['metadata']['managedFields'] === undefined) return object
  const { managedFields: _left, ...metadata } = object['metadata']
  return { ...object, metadata }
}

export const jsonText = (value: unknown): string => `${JSON.stringify(sorted(value), null, 4)}\n`

export const yamlText = async (value: unknown): Promise<string> => {
  const { stringify } = await import('yaml')
  return stringify(value, { sortMapEntries: true, indentSeq: false, lineWidth: 0, aliasDuplicateObjects: false, version: '1.1' })
}

/** `pod/web`, `deployment.apps/web`. */
export const nameText = (object: Pick<KubeObject, 'apiVersion' | 'kind' | 'metadata'>): string => {
  const slash = object.apiVersion.indexOf('/')
  return `${singularOf({ kind: object.kind, group: slash === -1 ? '' : object.apiVersion.slice(0, slash) })}/${object.metadata.name ?? ''}`
}

/** One of the machine-readable forms; undefined for the others (tables). */
export const objectText = async (object: Record<string, unknown>, form: string | undefined): Promise<string | undefined> => {
  if (form === 'json') return jsonText(withoutManagedFields(object))
  if (form === 'yaml') return yamlText(withoutManagedFields(object))
  if (form === 'name') {
    const items = Array.isArray(object['items']) ? (object['items'] as KubeObject[]) : [object as unknown as KubeObject]
    return items.map(item => `${nameText(item)}\n`).join('')
  }
  return undefined
}

export const listOf = (items: readonly unknown[]): Record<string, unknown> => ({
  apiVersion: 'v1',
  kind: 'List',
  metadata: { resourceVersion: '' },
  items,
})
