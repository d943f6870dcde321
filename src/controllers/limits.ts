// Every bound and span of the controllers, with what happens at it.

/** Creates or deletes one run of a ReplicaSet asks for; the rest follows in the next run, which its own writes cause. */
export const REPLICA_SET_BURST = 500
/** Deletes one run of namespace deletion asks for; the next run continues when they show. */
export const NAMESPACE_BURST = 500
/** Deletes one run of pod garbage collection asks for; the next run continues. */
export const POD_GC_BURST = 500
/** Events deleted in one run; the next run continues. */
export const EVENT_BURST = 500
/** Pods that ended (Succeeded, Failed) kept for people to look at; above it the oldest are deleted. */
export const TERMINATED_PODS_MAX = 1_000
/** A pod on a node that does not exist is deleted only when it has been bound this long: its Node may be about to register. */
export const POD_ORPHAN_MS = 40_000
/** Events live this long. */
export const EVENT_TTL_MS = 3_600_000
/** Events kept at most; above it the oldest go before their time. */
export const EVENTS_MAX = 5_000
/** While nothing new happens, old Events are looked for at most this often. */
export const EVENT_SWEEP_MS = 300_000
/** While Events keep coming, their number is looked at this often; with EVENT_BURST it outruns what the loop records. */
export const EVENT_GAP_MS = 10_000
/** Bytes of the revision-history annotation; the oldest revisions leave it first. */
export const REVISION_HISTORY_BYTES_MAX = 2_000

/** A device that was in contact and is silent this long is Unknown. */
export const NODE_SILENT_MS = 40_000
/** A device that calls only so often is Unknown after this much of its interval and NODE_SILENT_MS: devices spread their calls by a tenth, and one may fail. */
export const CONTACT_INTERVAL_SLACK = 1.25
/** A device that has not called since this server started is judged only after the server has listened this long: reconnects are spread. */
export const NODE_FIRST_CALL_MS = 300_000
/** When more than this fraction of the nodes in contact falls silent together, the fault is taken to be ours: no taint is touched. */
export const BRAKE_FRACTION = 0.3
/** Fewer silent nodes than this never pull the brake: a small site may well lose its three boards. */
export const BRAKE_NODES_MIN = 5

/** The brake was pulled a moment ago: so long after it came off nothing is replaced or fenced, for the others are still on their way back. */
export const BRAKE_LINGER_MS = 300_000

/** A fencing policy declares at most one node dead in this time. */
export const FENCE_EVERY_MS = 60_000
/** A node that has not called since this server started is acted on only after the server has listened this long: more than a device's longest pause between two dials. */
export const ACT_FIRST_CALL_MS = 1_200_000
/** Pods replaced in REPLACE_WINDOW_MS, in the whole cluster; the others wait. */
export const REPLACE_MAX = 60
export const REPLACE_WINDOW_MS = 60_000
/** An original that came back counts again when it has been Ready, on a node in contact, for this long. */
export const REUNION_MS = 15_000
/** An original that came back and has not become what its policy hopes for within this time gives way (or, if it is the better one, stays). */
export const REUNION_PATIENCE_MS = 300_000
/** Replaced originals looked at together at most this often. */
export const REPLACE_GAP_MS = 1_000

/** An endpoint on one silent node is not ready from then on, unless its replacement was ready earlier or nothing else is. */
export const ENDPOINT_PATIENCE_MS = 300_000
/** Endpoints of one EndpointSlice; more make more slices. */
export const ENDPOINTS_PER_SLICE = 100
/** Addresses of one Endpoints object; the rest is left out, and an annotation says so. */
export const ENDPOINTS_ADDRESSES_MAX = 1_000
/** Bursts of changes cost a Service one run per this span. */
export const ENDPOINTS_GAP_MS = 100
/** Names of held pods a condition spells out; the rest is counted. */
export const HELD_NAMES_MAX = 3

/** Nodes changed in one run; the next run continues. */
export const NODE_BURST = 500

/** Bursts of changes cost a replica controller one run per this span. */
export const REPLICA_GAP_MS = 5
/** Nodes are judged at most this often. */
export const NODE_GAP_MS = 250
/** Sweeps of ended pods run at most this often. */
export const SWEEP_GAP_MS = 1_000
