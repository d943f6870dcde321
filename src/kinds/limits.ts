// Bounds of what a manifest may say, with what happens at each. Source: k8s apimachinery validation, core/v1 types.

/** metadata.annotations, keys and values together; above: FieldValueTooLong. */
export const ANNOTATIONS_BYTES_MAX = 256 * 1024
/** ConfigMap data and binaryData, Secret data; above: FieldValueTooLong. */
export const CONFIG_BYTES_MAX = 1024 * 1024
/** Nesting of an untrusted object; deeper: a type error, nothing is read further. */
export const DEPTH_MAX = 100
/** Type errors and unknown fields kept per object; further ones are counted out silently, the object is refused or warned about anyway. */
export const PROBLEMS_MAX = 100
/** A bad value inside an error's text; longer ones are cut and end in `…`. */
export const SHOWN_LENGTH_MAX = 4096
/** DNS-1123 label, port name, label value, qualified name's name part; above: FieldValueInvalid. */
export const LABEL_LENGTH_MAX = 63
/** DNS-1123 subdomain: most object names; above: FieldValueInvalid. */
export const SUBDOMAIN_LENGTH_MAX = 253
/** Port names (IANA service names); above: FieldValueInvalid. */
export const PORT_NAME_LENGTH_MAX = 15
/** Event note or message of events.k8s.io; above: FieldValueInvalid. */
export const EVENT_NOTE_BYTES_MAX = 1024
/** Event reason and action of events.k8s.io; above: FieldValueInvalid. */
export const EVENT_REASON_LENGTH_MAX = 128
/** Digits of a quantity's number; more: the quantity is refused (upstream rounds; a number that long is a mistake or an attack). */
export const QUANTITY_DIGITS_MAX = 64
/** Characters of a quantity's text; a longer one is no quantity, and is not looked at further. */
export const QUANTITY_LENGTH_MAX = 256
/** Characters of a path named as an unknown field; a longer one is cut and ends in `…`. */
export const PATH_LENGTH_MAX = 1024
/** pod.spec.terminationGracePeriodSeconds and others are int64 upstream; JSON numbers above 2^53 lose digits and are refused. */
export const INTEGER_MAX = Number.MAX_SAFE_INTEGER
/** metadata.generateName is cut so that five random characters fit into a DNS label. */
export const GENERATE_NAME_LENGTH_MAX = LABEL_LENGTH_MAX - 5
/** Durations in annotations; a longer one is refused: FieldValueInvalid. */
export const DURATION_MS_MAX = 10 * 365 * 86_400_000
/** Endpoints of an EndpointSlice, addresses of one of them, ports of a slice; above: FieldValueTooMany. */
export const ENDPOINTS_PER_SLICE_MAX = 1_000
export const ENDPOINT_ADDRESSES_MAX = 100
export const ENDPOINT_PORTS_MAX = 20_000
