// Rules of a pod's spec.

import type { Cause } from './causes.ts'
import type { PodSpec } from './pod.ts'

export const validatePodSpec = (_spec: PodSpec, _path: string): Cause[] => []
