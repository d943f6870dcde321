// The network of runtimes that share the device's own: nothing to prepare, nothing to remove.

import type { Network } from './network.ts'

export const hostNetwork: Network = {
  configure: () => Promise.resolve(),
  attach: () => Promise.resolve(),
  detach: () => Promise.resolve(),
  remove: () => Promise.resolve(),
}
