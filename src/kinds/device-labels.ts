// What a device may say of itself when it joins: labels of its node. Namespaces of labels that the cluster acts upon are not for it to
// claim. Source: k8s NodeRestriction admission, which holds kubelets to the same.

import { type Cause, forbidden, invalid } from './causes.ts'
import { validateLabels } from './selector.ts'

/** Labels of one device at joining; more are refused, all of them. */
export const DEVICE_LABELS_MAX = 32

/** Where the device stands, in the words of people; the zone is the same in Kubernetes' words. */
export const SITE_LABEL = 'heliopause.io/site'
export const ZONE_LABEL = 'topology.kubernetes.io/zone'

const RESERVED = /(^|\.)(kubernetes|k8s|heliopause)\.io\//
const ALLOWED = /^(kubernetes\.io\/(arch|os|hostname)|topology\.kubernetes\.io\/(region|zone)|heliopause\.io\/site|node\.heliopause\.io\/)/

/** Why these are no labels a device may join with; none when they are. `path` names the map in the causes. */
export const validateDeviceLabels = (labels: Readonly<Record<string, unknown>>, path: string): Cause[] => {
  const entries = Object.entries(labels)
  if (entries.length > DEVICE_LABELS_MAX) return [invalid(path, entries.length, `at most ${DEVICE_LABELS_MAX} labels`)]
  const causes = entries.flatMap(([key, value]): Cause[] => {
    const field = `${path}.${key.slice(0, 330)}`
    if (typeof value !== 'string') return [invalid(field, value, 'must be a text (quote it)')]
    return RESERVED.test(key) && !ALLOWED.test(key) ? [forbidden(field, 'the prefix is reserved for the cluster')] : []
  })
  return causes.length > 0 ? causes : validateLabels(labels as Readonly<Record<string, string>>, path)
}
