// Rules of resource requests and limits. Source: k8s pkg/apis/core/validation ValidateContainerResourceRequirements.

import type { Cause } from './causes.ts'
import { invalid, invalidAll } from './causes.ts'
import { qualifiedName } from './names.ts'
import type { ResourceRequirements } from './pod.ts'
import { compareQuantities, parseQuantity } from './quantity.ts'

const STANDARD = ['cpu', 'memory', 'ephemeral-storage']

const isHugePages = (name: string): boolean => name.startsWith('hugepages-')
/** Resources of devices and vendors: counted in whole units, never shared out twice. */
const isExtended = (name: string): boolean => name.includes('/') && !name.includes('kubernetes.io/')

const validateName = (name: string, path: string): Cause[] => {
  const causes = invalidAll(path, name, qualifiedName(name))
  if (causes.length > 0 || name.includes('/')) return causes
  if (STANDARD.includes(name) || isHugePages(name)) return []
  return [
    invalid(path, name, 'must be a standard resource type or fully qualified'),
    invalid(path, name, 'must be a standard resource for containers'),
  ]
}

const validateAmount = (name: string, text: string, path: string): Cause[] => {
  const quantity = parseQuantity(text)
  if (!quantity) return [invalid(path, text, 'must be a quantity')]
  if (quantity.nano < 0n) return [invalid(path, text, 'must be greater than or equal to 0')]
  return isExtended(name) && quantity.nano % 1_000_000_000n !== 0n ? [invalid(path, text, 'must be an integer')] : []
}

const validateList = (list: Readonly<Record<string, string>> | undefined, path: string): Cause[] =>
  Object.entries(list ?? {}).flatMap(([name, text]) => [
    ...validateName(name, `${path}[${name}]`),
    ...validateAmount(name, text, `${path}[${name}]`),
  ])

/** A request above its limit can never be used; resources that are not shared need both to be equal. */
const compareToLimits = (requests: Readonly<Record<string, string>>, limits: Readonly<Record<string, string>>, path: string): Cause[] =>
  Object.entries(requests).flatMap(([name, text]) => {
    const limit = limits[name]
    const [asked, most] = [parseQuantity(text), limit === undefined ? undefined : parseQuantity(limit)]
    const exact = isExtended(name) || isHugePages(name)
    if (limit === undefined) return exact ? [invalid(path, text, `Limit must be set for non overcommitable resources`)] : []
    if (!asked || !most) return []
    const order = compareQuantities(asked, most)
    if (exact) return order === 0 ? [] : [invalid(path, text, `must be equal to ${name} limit of ${limit}`)]
    return order > 0 ? [invalid(path, text, `must be less than or equal to ${name} limit of ${limit}`)] : []
  })

export const validateResources = (resources: ResourceRequirements | undefined, path: string): Cause[] => [
  ...validateList(resources?.limits, `${path}.limits`),
  ...validateList(resources?.requests, `${path}.requests`),
  ...compareToLimits(resources?.requests ?? {}, resources?.limits ?? {}, `${path}.requests`),
]
