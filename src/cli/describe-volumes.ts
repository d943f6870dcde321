// The volumes of a pod for people. Source: kubectl describe (describeVolumes).

import type { Volume } from '../kinds/pod.ts'
import { indented, type Lines } from './describe-text.ts'

const sourceLines = (volume: Volume): Lines => {
  const { configMap, secret, emptyDir, hostPath, downwardAPI, projected } = volume
  if (configMap)
    return [
      'Type:\tConfigMap (a volume populated by a ConfigMap)',
      `Name:\t${configMap.name ?? ''}`,
      `Optional:\t${configMap.optional === true}`,
    ]
  if (secret)
    return [
      'Type:\tSecret (a volume populated by a Secret)',
      `SecretName:\t${secret.secretName ?? ''}`,
      `Optional:\t${secret.optional === true}`,
    ]
  if (emptyDir)
    return [
      "Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)",
      `Medium:\t${emptyDir.medium ?? ''}`,
      `SizeLimit:\t${emptyDir.sizeLimit ?? '<unset>'}`,
    ]
  if (hostPath) return ['Type:\tHostPath (bare host directory volume)', `Path:\t${hostPath.path}`, `HostPathType:\t${hostPath.type ?? ''}`]
  if (downwardAPI) {
    const items = (downwardAPI.items ?? []).map(
      ({ path, fieldRef, resourceFieldRef }) => `${fieldRef?.fieldPath ?? resourceFieldRef?.resource ?? ''} -> ${path}`,
    )
    return ['Type:\tDownwardAPI (a volume populated by information about the pod)', 'Items:', ...indented(items)]
  }
  if (projected) return ['Type:\tProjected (a volume that contains injected data from multiple sources)']
  const [type] = Object.keys(volume).filter(key => key !== 'name')
  return [`Type:\t${type ?? '<unknown>'}`]
}

export const volumeLines = (volumes: readonly Volume[] | undefined): Lines =>
  volumes === undefined || volumes.length === 0
    ? ['Volumes:\t<none>']
    : ['Volumes:', ...volumes.flatMap(volume => [`  ${volume.name}:`, ...indented(sourceLines(volume), 2)])]
