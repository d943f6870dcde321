// Bounds and weights of the scheduler, with what happens at them.

/** Pods bound in one run; the rest is placed in the next, which follows at once. */
export const BIND_BURST = 500
/** Unschedulable conditions written in one run; the rest follows in the next. */
export const CONDITION_BURST = 500
/** A node whose status names no pod capacity takes this many (the kubelet's default). */
export const PODS_PER_NODE_DEFAULT = 110
/** What a container without requests is taken to use, for packing only, never for admission (upstream: 100m, 200 MB). */
export const SCORE_CPU_MILLIS_DEFAULT = 100
export const SCORE_MEMORY_BYTES_DEFAULT = 200 * 1024 * 1024

/** Weights of the scores, each of which is 0 to 100 (upstream's, with packing in place of spreading). */
export const WEIGHTS = { packing: 1, nodeAffinity: 2, podAffinity: 2, taints: 3 } as const
