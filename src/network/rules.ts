// Compiles pod links and the masquerade table to the texts `ip -batch` and `nft -f` take. Pure: same arguments, same text.
// Routed point-to-point veth pairs: each pod has a /32 and one route by the device's own address. Source: runtime facts, ip-batch, nft(8).

import { deviceAddress, parseAddress, parseRange } from './address.ts'
import type { NetworkConfig } from './network.ts'

/** Checks the ranges; what comes back is fit for rule texts. */
export const checkConfig = (config: NetworkConfig): NetworkConfig => {
  for (const [name, cidr] of Object.entries({ podCIDR: config.podCIDR, clusterCIDR: config.clusterCIDR }))
    if (parseRange(cidr) === undefined) throw new Error(`configure network: ${name} ${JSON.stringify(cidr)} is not an IPv4 range`)
  if (deviceAddress(config.podCIDR) === undefined) throw new Error(`configure network: podCIDR ${config.podCIDR} is too small for pods`)
  return config
}

export const checkAddress = (address: string): string => {
  if (parseAddress(address) === undefined) throw new Error(`attach pod: ${JSON.stringify(address)} is not an IPv4 address`)
  return address
}

/** The device's side: a pair whose far end is born inside the pod's namespace, and the route to the pod. */
export const hostBatch = (link: { device: string; netns: string; address: string; gateway: string }): string =>
  [
    `link add ${link.device} type veth peer name eth0 netns ${link.netns}`,
    `addr add ${link.gateway}/32 dev ${link.device}`,
    `link set ${link.device} up`,
    `route replace ${link.address}/32 dev ${link.device} src ${link.gateway}`,
    '',
  ].join('\n')

/** The pod's side, run inside its namespace. */
export const podBatch = (link: { address: string; gateway: string }): string =>
  [
    'link set lo up',
    `addr add ${link.address}/32 dev eth0`,
    'link set eth0 up',
    `route replace ${link.gateway}/32 dev eth0 scope link`,
    `route replace default via ${link.gateway} dev eth0`,
    '',
  ].join('\n')

/** Our table, replaced in one transaction: pods that leave the cluster's range get the device's address. */
export const natTable = (table: string, config: NetworkConfig): string =>
  `add table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${config.podCIDR} ip daddr != ${config.clusterCIDR} ip daddr != 224.0.0.0/4 masquerade
  }
}
`

/** Below /proc/sys. A pod's route is by its own link, so reverse path filtering, strict or not, lets pods through. */
export const SYSCTLS: readonly (readonly [string, string])[] = [['net/ipv4/ip_forward', '1']]
