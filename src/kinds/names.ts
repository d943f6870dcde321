// Spelling of names, labels and keys, with upstream's messages (k8s apimachinery util/validation). Each check returns messages,
// none = valid.

import { LABEL_LENGTH_MAX, PORT_NAME_LENGTH_MAX, SUBDOMAIN_LENGTH_MAX } from './limits.ts'

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`
const DNS1035 = '[a-z]([-a-z0-9]*[a-z0-9])?'
const QUALIFIED = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'
const LABEL_VALUE = `(${QUALIFIED})?`
const CONFIG_KEY = '[-._a-zA-Z0-9]+'
const HEADER = '[-A-Za-z0-9]+'
const C_IDENTIFIER = '[A-Za-z_][A-Za-z0-9_]*'

const compiled = {
  label: new RegExp(`^${LABEL}$`),
  subdomain: new RegExp(`^${SUBDOMAIN}$`),
  dns1035: new RegExp(`^${DNS1035}$`),
  qualified: new RegExp(`^${QUALIFIED}$`),
  labelValue: new RegExp(`^${LABEL_VALUE}$`),
  configKey: new RegExp(`^${CONFIG_KEY}$`),
  header: new RegExp(`^${HEADER}$`),
  cIdentifier: new RegExp(`^${C_IDENTIFIER}$`),
}

/** The length in bytes of UTF-8 text, as Go's len() counts. */
export const byteLength = (text: string): number => {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit > 0x7f) bytes += unit > 0x7ff ? 2 : 1
    // A surrogate pair is two units and four bytes.
    if (unit >= 0xdc00 && unit <= 0xdfff && i > 0 && (text.charCodeAt(i - 1) & 0xfc00) === 0xd800) bytes -= 2
  }
  return bytes
}

const tooLongMessage = (bytesMax: number): string => `must be no more than ${bytesMax} bytes`

const regexMessage = (rule: string, pattern: string, ...examples: string[]): string =>
  `${rule} (e.g. ${examples.map(each => `'${each}', `).join(' or ')}regex used for validation is '${pattern}')`

const lengthMessages = (value: string, bytesMax: number): string[] => (byteLength(value) > bytesMax ? [tooLongMessage(bytesMax)] : [])

const LABEL_RULE =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character"
const SUBDOMAIN_RULE =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
const DNS1035_RULE =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character"
const QUALIFIED_RULE = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
const LABEL_VALUE_RULE =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"

export const dns1123Label = (value: string): string[] => [
  ...lengthMessages(value, LABEL_LENGTH_MAX),
  ...(compiled.label.test(value) ? [] : [regexMessage(LABEL_RULE, LABEL, 'my-name', '123-abc')]),
]

export const dns1123Subdomain = (value: string): string[] => [
  ...lengthMessages(value, SUBDOMAIN_LENGTH_MAX),
  ...(compiled.subdomain.test(value) ? [] : [regexMessage(SUBDOMAIN_RULE, SUBDOMAIN, 'example.com')]),
]

export const dns1035Label = (value: string): string[] => [
  ...lengthMessages(value, LABEL_LENGTH_MAX),
  ...(compiled.dns1035.test(value) ? [] : [regexMessage(DNS1035_RULE, DNS1035, 'my-name', 'abc-123')]),
]

const qualifiedNamePart = (name: string): string[] => {
  if (name === '') return ['name part must be non-empty']
  return [
    ...lengthMessages(name, LABEL_LENGTH_MAX).map(message => `name part ${message}`),
    ...(compiled.qualified.test(name) ? [] : [`name part ${regexMessage(QUALIFIED_RULE, QUALIFIED, 'MyName', 'my.name', '123-abc')}`]),
  ]
}

/** `name` or `prefix/name`: keys of labels and annotations, finalizers, resource names. */
export const qualifiedName = (value: string): string[] => {
  const parts = value.split('/')
  if (parts.length > 2) {
    const rule = regexMessage(QUALIFIED_RULE, QUALIFIED, 'MyName', 'my.name', '123-abc')
    return [`a qualified name ${rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`]
  }
  if (parts.length === 1) return qualifiedNamePart(value)
  const [prefix = '', name = ''] = parts
  const prefixMessages = prefix === '' ? ['prefix part must be non-empty'] : dns1123Subdomain(prefix).map(each => `prefix part ${each}`)
  return [...prefixMessages, ...qualifiedNamePart(name)]
}

export const labelValue = (value: string): string[] => [
  ...lengthMessages(value, LABEL_LENGTH_MAX),
  ...(compiled.labelValue.test(value) ? [] : [regexMessage(LABEL_VALUE_RULE, LABEL_VALUE, 'MyValue', 'my_value', '12345')]),
]

/** Keys of ConfigMaps and Secrets: they become file names. */
export const configKey = (value: string): string[] => {
  const rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
  const messages = lengthMessages(value, SUBDOMAIN_LENGTH_MAX)
  if (!compiled.configKey.test(value)) messages.push(regexMessage(rule, CONFIG_KEY, 'key.name', 'KEY_NAME', 'key-name'))
  if (value === '.') messages.push("must not be '.'")
  else if (value === '..') messages.push("must not be '..'")
  else if (value.startsWith('..')) messages.push("must not start with '..'")
  return messages
}

/** Names of environment variables, the relaxed rule of 1.34. */
export const envName = (value: string): string[] => {
  if (value === '') return ['environment variable name must be non-empty']
  return /^[ -<>-~]+$/.test(value)
    ? []
    : ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
}

export const headerName = (value: string): string[] =>
  compiled.header.test(value)
    ? []
    : [regexMessage("a valid HTTP header must consist of alphanumeric characters or '-'", HEADER, 'X-Header-Name')]

export const isCIdentifier = (value: string): boolean => compiled.cIdentifier.test(value)

export const portName = (value: string): string[] => [
  ...lengthMessages(value, PORT_NAME_LENGTH_MAX),
  ...(/^[-a-z0-9]+$/.test(value) ? [] : ['must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)']),
  ...(/[a-z]/.test(value) ? [] : ['must contain at least one letter (a-z)']),
  ...(value.includes('--') ? ['must not contain consecutive hyphens'] : []),
  ...(value.startsWith('-') || value.endsWith('-') ? ['must not begin or end with a hyphen'] : []),
]

export const inclusiveRange = (value: number, low: number, high: number): string[] =>
  value >= low && value <= high ? [] : [`must be between ${low} and ${high}, inclusive`]

export const portNumber = (value: number): string[] => inclusiveRange(value, 1, 65535)

/** A dotted IPv4 address or an IPv6 address without zone. */
export const isIp = (value: string): boolean => isIpv4(value) || isIpv6(value)

export const isIpv4 = (value: string): boolean => {
  const parts = value.split('.')
  return parts.length === 4 && parts.every(part => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
}

const isIpv6 = (value: string): boolean => {
  const halves = value.split('::')
  if (halves.length > 2) return false
  const groups = halves.flatMap(half => (half === '' ? [] : half.split(':')))
  const last = groups.at(-1)
  const mapped = last?.includes('.') === true
  if (mapped && !isIpv4(last ?? '')) return false
  const hex = mapped ? groups.slice(0, -1) : groups
  const count = hex.length + (mapped ? 2 : 0)
  return hex.every(group => /^[0-9a-fA-F]{1,4}$/.test(group)) && (halves.length === 2 ? count < 8 : count === 8)
}

export const ipAddress = (value: string): string[] => (isIp(value) ? [] : ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'])

export const isCidr = (value: string): boolean => {
  const [address = '', bits = '', ...rest] = value.split('/')
  if (rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(bits)) return false
  return isIpv4(address) ? Number(bits) <= 32 : isIpv6(address) && Number(bits) <= 128
}
