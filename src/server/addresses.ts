// Address ranges of nodes: the cluster's range cut into /24s, the lowest free one to each node. Pure.

import { ApiError } from '../base/errors.ts'

const parse = (cidr: string): { base: number; bits: number } | undefined => {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cidr)
  if (!match) return undefined
  const [a, b, c, d, bits] = match.slice(1).map(Number) as [number, number, number, number, number]
  if ([a, b, c, d].some(octet => octet > 255) || bits < 8 || bits > 24) return undefined
  const size = 2 ** (32 - bits)
  const address = ((a * 256 + b) * 256 + c) * 256 + d
  return { base: Math.floor(address / size) * size, bits }
}

/** A clear error unless the text is an IPv4 range from /8 to /24. */
export const checkClusterCIDR = (cidr: string): string => {
  if (!parse(cidr))
    throw new ApiError('BadRequest', `read cluster range: ${JSON.stringify(cidr)} is not an IPv4 range from /8 to /24`, {
      hint: 'for example --cluster-cidr 10.42.0.0/16',
    })
  return cidr
}

/** The lowest /24 of the cluster's range that no node has; throws ServiceUnavailable when all are taken. */
export const allocatePodCIDR = (clusterCIDR: string, taken: ReadonlySet<string>): string => {
  const range = parse(clusterCIDR)
  if (range) {
    const count = 2 ** (24 - range.bits)
    for (let i = 0; i < count; i++) {
      const at = range.base + i * 256
      const cidr = `${Math.floor(at / 2 ** 24) % 256}.${Math.floor(at / 2 ** 16) % 256}.${Math.floor(at / 256) % 256}.0/24`
      if (!taken.has(cidr)) return cidr
    }
  }
  throw new ApiError('ServiceUnavailable', `give a node its range: ${clusterCIDR} has no free /24 left`, {
    hint: 'delete nodes that are gone, or start the server with a larger --cluster-cidr',
  })
}
