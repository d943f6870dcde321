// Who is on the other end of the local socket. Node shows no peer credentials, so a caller who wants to act proves its uid: the agent names
// a nonce, the caller makes a symbolic link DIR/peer/<nonce> that points to the nonce, and the link's owner is the caller. Content and owner
// of a link do not change, so one that somebody else made and the caller moved here cannot say a nonce that is new. Source: symlink(2).

import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { ApiError } from '../base/errors.ts'
import { type Random, uuid } from '../base/random.ts'
import { PEER_NONCE_MS, PEER_NONCES_MAX } from './limits.ts'

/** Names of groups; with neither the socket is its owner's alone. */
export interface SocketGroups {
  /** Members may ask. */
  readonly readers?: string
  /** Members may act too: hold, restart, exec. They have to be among the readers to reach the socket. */
  readonly operators?: string
}

export interface PeerDeps {
  /** The device's data folder. */
  readonly dir: string
  readonly groups: SocketGroups
  readonly clock: Pick<Clock, 'mono'>
  readonly random: Random
}

export interface PeerDesk {
  /** Mode and group of the socket. */
  readonly socket: { readonly mode: number; readonly gid: number | undefined }
  /** A nonce to make the link of. */
  challenge(): string
  /** The name of the caller who made the link of this nonce, once; throws Forbidden when it may not act, or proved nothing. */
  actor(nonce: string | undefined): string
}

const HINT = 'act as root, or as a member of the group the agent was given with --operator-group'

/** Fields of a file such as /etc/passwd; none when it cannot be read. */
const linesOf = (path: string): string[][] => {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .map(line => line.split(':'))
  } catch (error) {
    if (error instanceof Error && 'code' in error) return []
    throw error
  }
}

/** A group's number; throws Invalid for one that /etc/group does not have. */
export const groupId = (name: string | undefined): number | undefined => {
  if (name === undefined) return undefined
  const found = /^\d+$/.test(name) ? name : linesOf('/etc/group').find(([group]) => group === name)?.[2]
  if (found === undefined)
    throw new ApiError('Invalid', `open local API: there is no group ${name}`, { hint: `make it: groupadd --system ${name}` })
  return Number(found)
}

const isMember = (uid: number, gid: number): boolean => {
  const account = linesOf('/etc/passwd').find(fields => fields[2] === String(uid))
  if (account?.[3] === String(gid)) return true
  const members = linesOf('/etc/group').find(fields => fields[2] === String(gid))?.[3] ?? ''
  return account?.[0] !== undefined && members.split(',').includes(account[0])
}

/** `root`, `alice`, or `uid-1001` where nobody has that number. */
export const userName = (uid: number): string => {
  const name = linesOf('/etc/passwd').find(fields => fields[2] === String(uid))?.[0] ?? ''
  return /^[a-zA-Z0-9_][\w.-]{0,31}$/.test(name) ? name : `uid-${uid}`
}

/** Lets members of the group through the data folder, whose files keep their own modes. */
const openFolder = (dir: string, gid: number): void => {
  const { mode, uid } = statSync(dir)
  if ((mode & 0o001) !== 0) return
  chownSync(dir, uid, gid)
  chmodSync(dir, (mode & 0o7777) | 0o010)
}

/** Throws when a group is not there, or may not be given to files. */
export const openPeerDesk = ({ dir, groups, clock, random }: PeerDeps): PeerDesk => {
  const operators = groupId(groups.operators)
  const readers = groupId(groups.readers) ?? operators
  const folder = join(dir, 'peer')
  const self = process.getuid?.() ?? 0
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { force: true, recursive: true })
  if (readers !== undefined) {
    openFolder(dir, readers)
    chownSync(folder, self, readers)
  }
  // Members make links and list none; the sticky bit keeps them from each other's.
  chmodSync(folder, readers === undefined ? 0o700 : 0o1730)
  const nonces = new Map<string, number>()
  const take = (nonce: string): number | undefined => {
    const sinceMs = nonces.get(nonce)
    nonces.delete(nonce)
    if (sinceMs === undefined) return undefined
    const path = join(folder, nonce)
    try {
      const { uid, ino } = lstatSync(path)
      // Looked at twice: one link cannot lend its owner to the content of another.
      const proven = readlinkSync(path) === nonce && lstatSync(path).ino === ino && clock.mono() - sinceMs <= PEER_NONCE_MS
      rmSync(path)
      return proven ? uid : undefined
    } catch (error) {
      // No link, or something else in its place: nothing is proven.
      if (error instanceof Error && 'code' in error) return undefined
      throw error
    }
  }
  return {
    socket: { mode: readers === undefined ? 0o600 : 0o660, gid: readers },
    challenge() {
      const nonce = uuid(random)
      nonces.set(nonce, clock.mono())
      const [oldest] = nonces.keys()
      if (nonces.size > PEER_NONCES_MAX && oldest !== undefined) nonces.delete(oldest)
      return nonce
    },
    actor(nonce) {
      const uid = nonce === undefined ? undefined : take(nonce)
      // A socket of mode 0600 lets nobody in but its owner and root, proven or not (a full disk takes no link).
      if (uid === undefined && readers === undefined) return userName(self)
      if (uid === undefined) throw new ApiError('Forbidden', 'act on this device: the caller did not prove who it is', { hint: HINT })
      if (uid !== 0 && uid !== self && (operators === undefined || !isMember(uid, operators)))
        throw new ApiError('Forbidden', `act on this device: ${userName(uid)} may only ask`, { hint: HINT })
      return userName(uid)
    },
  }
}
