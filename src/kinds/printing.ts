// Columns and cells that several kinds share, worded as upstream's printers word them (k8s pkg/printers/internalversion).

import { translateTimestampSince } from './duration.ts'
import type { Column } from './kind.ts'
import type { KubeObject } from './meta.ts'
import type { PodTemplateSpec } from './pod.ts'

export const NONE = '<none>'

/** A column of ordinary width; `wide` ones show with `-o wide` only. */
export const column = (name: string, description: string, type: Column['type'] = 'string'): Column => ({
  name,
  type,
  description,
  priority: 0,
})

export const wideColumn = (name: string, description: string, type: Column['type'] = 'string'): Column => ({
  name,
  type,
  description,
  priority: 1,
})

export const NAME_COLUMN: Column = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Name must be unique within a namespace.',
  priority: 0,
}

export const AGE_COLUMN: Column = column('Age', 'Time since the object was created.')

export const nameOf = (object: KubeObject): string => object.metadata.name ?? ''

export const ageOf = (object: KubeObject, nowMs: number): string => translateTimestampSince(object.metadata.creationTimestamp, nowMs)

/** `a=1,b=2`, sorted, or `<none>`. */
export const labelsText = (labels: Readonly<Record<string, string>> | undefined): string =>
  Object.entries(labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(',') || NONE

/** Names and images of a template's containers, comma-separated. */
export const containersAndImages = (template: PodTemplateSpec | undefined): [string, string] => {
  const containers = template?.spec?.containers ?? []
  return [containers.map(each => each.name).join(','), containers.map(each => each.image ?? '').join(',')]
}
