// The list of networks. A new one is one file and one line here.

import { hostNetwork } from './host.ts'
import type { Network, NetworkDeps } from './network.ts'
import { createRoutedNetwork } from './routed.ts'

export { allocateAddress, contains, deviceAddress } from './address.ts'

export const NETWORKS: Readonly<Record<'routed' | 'host', (deps: NetworkDeps) => Network>> = {
  routed: createRoutedNetwork,
  host: () => hostNetwork,
}

/** What a routed network needs on the machine. */
const PROGRAMS = ['ip', 'nft', 'nsenter'] as const

/** The network for a runtime: routed where pods have a namespace of their own, the device's own otherwise. Throws naming what is missing. */
export const createNetwork = (deps: NetworkDeps, runtime: { readonly isolatesNetwork: boolean }): Network => {
  if (!runtime.isolatesNetwork) return NETWORKS.host(deps)
  const missing = PROGRAMS.filter(program => deps.exec.find(program) === undefined)
  if (missing.length > 0) throw new Error(`create network: ${missing.join(', ')} not found (install iproute2, nftables, util-linux)`)
  return NETWORKS.routed(deps)
}
