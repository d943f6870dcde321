// Names of images: what people write, made whole the way Docker and containerd do it. Source: distribution/reference.

export interface Reference {
  /** `docker.io/library/busybox:latest`; the tag is left out when only a digest was given. */
  readonly name: string
  readonly digest: string | undefined
}

const DEFAULT_HOST = 'docker.io'
const DIGEST = /^sha256:[0-9a-f]{64}$/
const HOST = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?$/
const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[\w][\w.-]{0,127}$/
const NAME_LENGTH_MAX = 255

export const isDigest = (text: string): boolean => DIGEST.test(text)

/** The first component is a host when it could not be a path of Docker Hub: it has a dot, a port, a capital or is localhost. */
const splitHost = (name: string): { host: string; path: string } => {
  const slash = name.indexOf('/')
  const first = slash === -1 ? '' : name.slice(0, slash)
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase()
  if (!isHost) return { host: DEFAULT_HOST, path: name.includes('/') ? name : `library/${name}` }
  const host = first === 'index.docker.io' ? DEFAULT_HOST : first
  const rest = name.slice(slash + 1)
  return { host, path: host === DEFAULT_HOST && !rest.includes('/') ? `library/${rest}` : rest }
}

/** The full form of a reference, or undefined when it is not one: `busybox` → `docker.io/library/busybox:latest`. */
export const parseReference = (text: string): Reference | undefined => {
  const at = text.indexOf('@')
  const digest = at === -1 ? undefined : text.slice(at + 1)
  if (digest !== undefined && !isDigest(digest)) return undefined
  const rest = at === -1 ? text : text.slice(0, at)
  const colon = rest.lastIndexOf(':')
  const tagged = colon > rest.lastIndexOf('/')
  const tag = tagged ? rest.slice(colon + 1) : undefined
  if (tag !== undefined && !TAG.test(tag)) return undefined
  const { host, path } = splitHost(tagged ? rest.slice(0, colon) : rest)
  if (!HOST.test(host) || !PATH.test(path) || host.length + 1 + path.length > NAME_LENGTH_MAX) return undefined
  const suffix = tag !== undefined ? `:${tag}` : digest === undefined ? ':latest' : ''
  return { name: `${host}/${path}${suffix}`, digest }
}
