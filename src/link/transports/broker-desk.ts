// The server's conversations through a broker: turns what devices publish into connections for the hub. A device is nobody until its signature has been judged,
// and has no connection until a first sealed message shows that it holds the keys; only then may an older conversation of it be touched.
// What is kept for a device is small and bounded, and there are no more of them than nodes.

import { X509Certificate } from 'node:crypto'
import type { Cancel, Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { type Admission, createAdmission } from '../admission.ts'
import {
  BROKER_DEVICE_OPENINGS_BURST,
  BROKER_DEVICE_OPENINGS_PER_SECOND,
  BROKER_HINTS_BURST,
  BROKER_HINTS_PER_SECOND,
  BROKER_OPENINGS_BURST,
  BROKER_OPENINGS_PER_SECOND,
  BROKER_PROOF_MS,
} from '../limits.ts'
import type { Connection } from '../link.ts'
import { aliveBytes, parseAlive } from './broker-alive.ts'
import { acceptBytes, type Hint, hintBytes, type Opening, parseBrokerFrame, type Sealed, sameConversation } from './broker-frames.ts'
import type { PublishOptions } from './broker-line.ts'
import { brokerTopic, parseBrokerTopic } from './broker-topics.ts'
import { acceptText, digestOf, newEphemeral, sealKeys, type Transcript, verifyOpening } from './seal.ts'
import { SealedConnection, type SealedPort } from './sealed.ts'

export interface BrokerDeskDeps {
  readonly clock: Pick<Clock, 'mono' | 'after'>
  readonly log: Log
  /** See clusterIdOf. */
  readonly cluster: string
  /** With the key that signs heads; base64. */
  readonly sign: (text: string) => string
  /** Whether a node of this name exists; costs nothing. */
  readonly isNode: (device: string) => boolean
  /** Throws when this certificate (DER) may not speak for the device: chain, name, key of the node. */
  readonly admit: (device: string, certificate: Uint8Array) => void
  /** Of the hub. */
  readonly accept: (device: string, connection: Connection) => void
  /** To the broker; false when it takes no more. */
  readonly publish: (topic: string, payload: Uint8Array, options: PublishOptions) => boolean
}

export interface BrokerDesk {
  /** A message of the broker's; anything at all may come. `retained`: it was there before we asked. */
  take(topic: string, payload: Uint8Array, retained: boolean): void
  /** A device that comes through this broker and is not here now. */
  isAway(device: string): boolean
  /** Keeps a head (JSON) at the broker for the device to find; the same one again costs nothing. */
  retain(device: string, head: string): void
  /** The broker forgot what it kept. */
  republish(): void
  /** There was a time without a line to the broker: what devices said meanwhile at QoS 0 may be lost, and has to be missed. */
  check(): void
  /** The device is no more, and what the broker keeps of it goes too. */
  forget(device: string): void
  readonly conversations: number
  /** Ends every conversation, without a word to those that are not proven. */
  close(reason: string): void
}

interface Peer {
  /** Proven; the hub has it. */
  live: SealedConnection | undefined
  /** Accepted, not yet proven. A newer opening takes its place. */
  pending: SealedConnection | undefined
  pendingUntilMs: number
  /** DER, as judged last: an opening may name it by its digest. */
  certificate: Uint8Array | undefined
  /** What the broker says it is in: the whole id, which its sealed messages do not carry. */
  alive: Uint8Array | undefined
  /** What the broker keeps for it. */
  head: string | undefined
  /** Openings it may still make, as of `openingsAtMs`. */
  openings: number
  openingsAtMs: number
}

interface State extends BrokerDeskDeps {
  readonly peers: Map<string, Peer>
  readonly openings: Admission
  readonly hints: Admission
  readonly port: SealedPort
  sweep: Cancel | undefined
}

const peerOf = (state: State, device: string): Peer => {
  const known = state.peers.get(device)
  if (known) return known
  const peer: Peer = {
    live: undefined,
    pending: undefined,
    pendingUntilMs: 0,
    certificate: undefined,
    alive: undefined,
    head: undefined,
    openings: BROKER_DEVICE_OPENINGS_BURST,
    openingsAtMs: 0,
  }
  state.peers.set(device, peer)
  return peer
}

const hint = (state: State, device: string, conversation: Uint8Array, why: Hint): void => {
  if (conversation.length === 0 || state.hints.ask(state.clock.mono()) > 0) return
  state.publish(brokerTopic(state.cluster, device, 'down'), hintBytes(conversation, why), {})
}

/** Those that were accepted and said nothing: one timer for all. */
const armSweep = (state: State): void => {
  state.sweep ??= state.clock.after(BROKER_PROOF_MS, () => {
    state.sweep = undefined
    const nowMs = state.clock.mono()
    const waiting = [...state.peers.values()].filter(peer => peer.pending)
    for (const peer of waiting) if (peer.pendingUntilMs <= nowMs) peer.pending?.fail('it did not prove itself')
    if (waiting.some(peer => peer.pending)) armSweep(state)
  })
}

/** The certificate an opening speaks of; undefined when it names one that is not known here. */
const certificateOf = (peer: Peer, opening: Opening): Uint8Array | undefined => {
  if (opening.certificate.length > 0) return Uint8Array.from(opening.certificate)
  return peer.certificate && digestOf(peer.certificate).equals(opening.digest) ? peer.certificate : undefined
}

/** Throws when the opening is not by the device. */
const judge = (state: State, device: string, certificate: Uint8Array, transcript: Transcript, signature: Uint8Array): void => {
  state.admit(device, certificate)
  if (!verifyOpening(new X509Certificate(certificate).publicKey, transcript, signature))
    throw new Error('the opening is not signed by its key')
}

const begin = (state: State, device: string, peer: Peer, opening: Opening, certificate: Uint8Array): void => {
  const transcript: Transcript = {
    cluster: state.cluster,
    device,
    // Copies: the parts are views of a whole packet.
    conversation: Uint8Array.from(opening.conversation),
    deviceEphemeral: opening.ephemeral,
    certificateDigest: digestOf(certificate),
  }
  judge(state, device, certificate, transcript, opening.signature)
  peer.certificate = certificate
  const mine = newEphemeral()
  const keys = sealKeys(mine.privateKey, opening.ephemeral, transcript, mine.publicKey)
  peer.pending?.fail('a newer opening came')
  peer.pending = new SealedConnection(state.port, {
    device,
    conversation: transcript.conversation,
    keys,
    sends: 'down',
  })
  peer.pendingUntilMs = state.clock.mono() + BROKER_PROOF_MS
  armSweep(state)
  const signature = Buffer.from(state.sign(acceptText(transcript, mine.publicKey)), 'base64')
  const accept = acceptBytes({ conversation: transcript.conversation, ephemeral: mine.publicKey, signature })
  state.publish(brokerTopic(state.cluster, device, 'down'), accept, {})
}

/** The device's own bucket, as bare numbers: there is one for every device. */
const mayOpen = (peer: Peer, nowMs: number): boolean => {
  const gained = (Math.max(0, nowMs - peer.openingsAtMs) / 1000) * BROKER_DEVICE_OPENINGS_PER_SECOND
  peer.openings = Math.min(BROKER_DEVICE_OPENINGS_BURST, peer.openings + gained)
  peer.openingsAtMs = nowMs
  if (peer.openings < 1) return false
  peer.openings--
  return true
}

const takeOpening = (state: State, device: string, opening: Opening): void => {
  const peer = peerOf(state, device)
  // It comes again when the answer is slow. A conversation that lives is not begun again by replaying how it began.
  for (const known of [peer.live, peer.pending]) if (known && sameConversation(known.conversation, opening.conversation)) return
  const nowMs = state.clock.mono()
  if (!mayOpen(peer, nowMs) || state.openings.ask(nowMs) > 0) {
    hint(state, device, opening.conversation, 'busy')
    return
  }
  const certificate = certificateOf(peer, opening)
  if (!certificate) {
    hint(state, device, opening.conversation, 'certificate wanted')
    return
  }
  try {
    begin(state, device, peer, opening, certificate)
  } catch (error) {
    state.log.info('opening refused', { device, why: messageOf(error) })
    hint(state, device, opening.conversation, 'refused')
  }
}

const takeSealed = (state: State, device: string, message: Sealed): void => {
  const peer = state.peers.get(device)
  const known = [peer?.live, peer?.pending].find(each => each && sameConversation(each.conversation, message.conversation))
  known?.receive(message)
  // Of an earlier life of this server, or one that ended.
  if (!known && peer?.alive && sameConversation(peer.alive, message.conversation)) hint(state, device, peer.alive, 'unknown')
}

/** A device that is no node keeps nothing at the broker. Within the rate of hints: who publishes again and again is not answered each time. */
const purge = (state: State, device: string): void => {
  if (state.hints.ask(state.clock.mono()) > 0) return
  for (const kind of ['alive', 'head'] as const)
    state.publish(brokerTopic(state.cluster, device, kind), new Uint8Array(0), { retain: true })
}

const takeAlive = (state: State, device: string, payload: Uint8Array, retained: boolean): void => {
  // What is empty is the removal itself.
  if (payload.length === 0) return
  if (!state.isNode(device)) {
    purge(state, device)
    return
  }
  const said = parseAlive(payload)
  if (!said) return
  const peer = peerOf(state, device)
  const { live } = peer
  const isLive = live !== undefined && sameConversation(live.conversation, said.conversation)
  if (said.gone) peer.alive = undefined
  else peer.alive = isLive ? live.conversation : said.conversation
  if (said.gone && isLive) live.fail('the broker lost the device')
  // The will of an older conversation took the place of what is true.
  else if (said.gone && live && state.hints.ask(state.clock.mono()) === 0) tellAlive(state, peer, live, false)
  // It was there before this server came, and waits for it.
  else if (retained && !said.gone && !isLive) hint(state, device, said.conversation, 'unknown')
}

/** For a server that comes after this one, and must call the device back; at the broker's side of the device's thin line. */
const tellAlive = (deps: BrokerDeskDeps, peer: Peer, { device, conversation }: SealedConnection, gone: boolean): void => {
  peer.alive = gone ? undefined : conversation
  deps.publish(brokerTopic(deps.cluster, device, 'alive'), aliveBytes({ conversation, gone }), { retain: true })
}

const keep = (deps: BrokerDeskDeps, peer: Peer | undefined, device: string, head: string): void => {
  if (!peer || peer.head === head) return
  peer.head = head
  deps.publish(brokerTopic(deps.cluster, device, 'head'), Buffer.from(head), { retain: true })
}

const portOf = (deps: BrokerDeskDeps, peers: Map<string, Peer>): SealedPort => ({
  clock: deps.clock,
  publish(of, payload) {
    // Nobody listens to a conversation that a newer one of the device has replaced.
    if (peers.get(of.device)?.live !== of) return true
    return deps.publish(brokerTopic(deps.cluster, of.device, 'down'), payload, {})
  },
  proven(of) {
    const peer = peers.get(of.device)
    if (peer?.pending !== of) return
    peer.pending = undefined
    // The hub lets go of an older one when the device greets over this one.
    peer.live = of
    tellAlive(deps, peer, of, false)
    deps.accept(of.device, of)
  },
  ended(of) {
    const peer = peers.get(of.device)
    if (peer?.live === of) {
      peer.live = undefined
      if (peer.alive === of.conversation) tellAlive(deps, peer, of, true)
    }
    if (peer?.pending === of) peer.pending = undefined
  },
  retain: (of, head) => keep(deps, peers.get(of.device), of.device, head),
})

/** The server's conversations through one broker. */
export const createBrokerDesk = (deps: BrokerDeskDeps): BrokerDesk => {
  const peers = new Map<string, Peer>()
  const state: State = {
    ...deps,
    peers,
    openings: createAdmission(BROKER_OPENINGS_PER_SECOND, BROKER_OPENINGS_BURST),
    hints: createAdmission(BROKER_HINTS_PER_SECOND, BROKER_HINTS_BURST),
    port: portOf(deps, peers),
    sweep: undefined,
  }
  return {
    take(topic, payload, retained) {
      const from = parseBrokerTopic(deps.cluster, topic)
      if (from?.kind === 'alive') takeAlive(state, from.device, payload, retained)
      if (from?.kind !== 'up' || !deps.isNode(from.device)) return
      const frame = parseBrokerFrame(payload)
      if (frame?.is === 'opening') takeOpening(state, from.device, frame)
      else if (frame?.is === 'sealed') takeSealed(state, from.device, frame)
    },
    isAway(device) {
      const peer = peers.get(device)
      return peer !== undefined && peer.live === undefined
    },
    retain: (device, head) => keep(deps, peers.get(device), device, head),
    republish() {
      for (const [device, { head }] of peers)
        if (head !== undefined) deps.publish(brokerTopic(deps.cluster, device, 'head'), Buffer.from(head), { retain: true })
    },
    check() {
      for (const { live } of [...peers.values()]) live?.check()
    },
    forget(device) {
      const peer = peers.get(device)
      peer?.live?.close('the device was removed')
      peer?.pending?.fail('the device was removed')
      if (peer) purge(state, device)
      peers.delete(device)
    },
    get conversations() {
      return [...peers.values()].filter(peer => peer.live).length
    },
    close(reason) {
      state.sweep?.()
      for (const { live, pending } of [...peers.values()]) {
        live?.close(reason)
        pending?.fail(reason)
      }
    },
  }
}
