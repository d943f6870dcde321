// exec, attach and port-forward from the API to the device a pod runs on: the same stream of the link, with the pod put into its words.

import type { PodStreamRequest, PodStreams, StreamUpgrade, UpgradeHandler } from '../api/api.ts'
import { ApiError } from '../base/errors.ts'
import type { KubeObject } from '../base/object.ts'
import type { Pod } from '../kinds/pod.ts'
import type { Hub, StreamRequest } from '../link/link.ts'
import { LINK_PATH } from '../link/transports/index.ts'

/** `5m12s`, `3h4m`, `9d2h`: the two largest units. */
export const silenceText = (ms: number): string => {
  const seconds = Math.floor(ms / 1000)
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  if (first < 0) return '0s'
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0)
  return shown.map(([count, unit]) => `${count}${unit}`).join('')
}

const requestOf = (request: PodStreamRequest): StreamRequest => {
  const { metadata } = request.pod
  const target = { namespace: metadata.namespace ?? '', pod: metadata.name ?? '', ...(metadata.uid ? { uid: metadata.uid } : {}) }
  if (request.do === 'portForward') return { do: 'portForward', ...target, port: request.port }
  const { container, stdin } = request
  if (request.do === 'attach') return { do: 'attach', ...target, container, stdin }
  return { do: 'exec', ...target, container, stdin, command: request.command, tty: request.tty }
}

const nodeOf = (pod: KubeObject): string => (pod as unknown as Pod).spec.nodeName ?? ''

/** What is asked of the hub. */
export interface StreamHub extends Pick<Hub, 'openStream'> {
  contact(device: string): { readonly connected: boolean; readonly silentMs: number } | undefined
}

/** The streams of pods over the hub. */
export const createPodStreams = (hub: StreamHub): PodStreams => {
  const check = (pod: KubeObject): void => {
    const node = nodeOf(pod)
    const contact = hub.contact(node)
    if (contact?.connected) return
    const seen = contact === undefined ? 'it has not been seen since the server started' : `last seen ${silenceText(contact.silentMs)} ago`
    throw new ApiError('ServiceUnavailable', `pod ${pod.metadata.name ?? ''} cannot be reached: node ${node} is not connected, ${seen}`, {
      details: { kind: 'nodes', name: node },
      hint: 'the device connects again by itself when its network is back',
    })
  }
  return {
    check,
    open(request) {
      try {
        check(request.pod)
        return hub.openStream(nodeOf(request.pod), requestOf(request))
      } catch (error) {
        return Promise.reject(error)
      }
    },
  }
}

/** Upgrades of devices go to the link, all others are clients' streams. */
export const routeUpgrades =
  (link: UpgradeHandler, streams: StreamUpgrade): UpgradeHandler =>
  (request, socket, head, identity, peerCertificate) => {
    if (request.url?.split('?')[0] === LINK_PATH) link(request, socket, head, identity, peerCertificate)
    else streams(request, socket, head, identity)
  }
