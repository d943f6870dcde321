// IPv4 ranges and pod addresses. Pure.

import type { AllocateAddress } from './network.ts'

/** A range as its first address and its prefix length. */
export interface Range {
  readonly base: number
  readonly prefix: number
}

const OCTET = /^(?:0|[1-9]\d{0,2})$/

/** An address as an unsigned number; undefined when it is not four decimal octets. */
export const parseAddress = (text: string): number | undefined => {
  const octets = text.split('.')
  if (octets.length !== 4 || !octets.every(octet => OCTET.test(octet) && Number(octet) <= 255)) return undefined
  return octets.reduce((value, octet) => value * 256 + Number(octet), 0)
}

export const formatAddress = (address: number): string => [24, 16, 8, 0].map(shift => (address >>> shift) & 255).join('.')

/** Parses `10.42.3.0/24`; bits below the prefix are cleared. */
export const parseRange = (cidr: string): Range | undefined => {
  const [text = '', length = ''] = cidr.split('/')
  const address = parseAddress(text)
  const prefix = /^\d{1,2}$/.test(length) ? Number(length) : Number.NaN
  if (address === undefined || !(prefix <= 32)) return undefined
  const size = 2 ** (32 - prefix)
  return { base: Math.floor(address / size) * size, prefix }
}

/** The device's own address in its range: the first one. */
export const deviceAddress = (podCIDR: string): string | undefined => {
  const range = parseRange(podCIDR)
  return range === undefined || range.prefix > 30 ? undefined : formatAddress(range.base + 1)
}

/** True when the range holds the address. */
export const contains = (cidr: string, address: string): boolean => {
  const range = parseRange(cidr)
  const value = parseAddress(address)
  return range !== undefined && value !== undefined && value >= range.base && value < range.base + 2 ** (32 - range.prefix)
}

/** The lowest free address above the network's and the device's own, below broadcast; undefined when the range is full or not one. */
export const allocateAddress: AllocateAddress = (podCIDR, used) => {
  const range = parseRange(podCIDR)
  if (range === undefined) return undefined
  const end = range.base + 2 ** (32 - range.prefix) - 1
  for (let address = range.base + 2; address < end; address++) {
    const text = formatAddress(address)
    if (!used.has(text)) return text
  }
  return undefined
}
