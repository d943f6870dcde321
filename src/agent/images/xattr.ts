// Extended attributes of a layer: file capabilities (ping, web servers) and users' own. Node has no call for them, so one `setfattr` sets
// all of a layer; where it is missing they are counted and reported. `trusted.*` is never taken: it would speak to overlayfs itself.

import type { Header } from 'tar-stream'
import type { Exec } from '../../base/exec.ts'

export interface Xattr {
  readonly path: string
  readonly name: string
  readonly value: Buffer
}

const PAX_PREFIX = 'SCHILY.xattr.'
const TAKEN = /^(?:security\.capability|user\.[\w.-]+)$/

export const xattrsOf = (path: string, header: Header): Xattr[] =>
  Object.entries(header.pax ?? {})
    .filter(([key]) => key.startsWith(PAX_PREFIX) && TAKEN.test(key.slice(PAX_PREFIX.length)))
    .map(([key, value]) => ({ path, name: key.slice(PAX_PREFIX.length), value: Buffer.from(value) }))

/** getfattr's dump format quotes backslash, newline and carriage return in octal. */
const quoted = (path: string): string => path.replace(/[\\\n\r]/g, char => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`)

/** Sets them all; returns how many could not be set. */
export const applyXattrs = async (xattrs: readonly Xattr[], exec: Exec): Promise<number> => {
  if (xattrs.length === 0) return 0
  const program = exec.find('setfattr')
  // Bytes above 0x7f were lost when the header was read as text: such a value is not the one that was meant.
  const whole = xattrs.filter(xattr => !xattr.value.includes('\ufffd'))
  if (program === undefined || whole.length === 0) return xattrs.length
  const dump = whole.map(({ path, name, value }) => `# file: ${quoted(path)}\n${name}=0s${value.toString('base64')}\n\n`).join('')
  const set = await exec.run(program, ['--no-dereference', '--restore=-'], { input: dump })
  return set.code === 0 ? xattrs.length - whole.length : xattrs.length
}
