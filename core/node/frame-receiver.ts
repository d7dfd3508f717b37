/**
 * What arrives in tunnel frames: opens sealed ones, takes key exchanges, refuses the rest. Nothing here
 * changes state before it is authenticated (spec/01 §10, §12).
 */
import { equals, viewOf } from '../bytes.ts'
import { formatEndpoint, type Instant } from '../machine.ts'
import type { ArrivalPath } from '../nat/path-selector.ts'
import type { OpenAttempt } from '../tunnel/session.ts'
import {
  classifyFrame,
  decodeKeyExchangeFrame,
  decodeSealedFrame,
  KEY_EXCHANGE_BYTES,
  type KeyExchangeFrame,
  keyExchangeSigningBytes,
  PLAIN_HEADER_BYTES,
  SEALED_HEADER_BYTES,
  SEALED_OVERHEAD_BYTES,
} from '../wire/frame.ts'
import { PacketReader, PROTOCOL } from '../wire/packet.ts'
import type { Admission } from './admission.ts'
import type { NodeContext } from './context.ts'
import type { PacketReceiver } from './packet-receiver.ts'
import type { Peer } from './peer.ts'
import type { PeerTable } from './peer-table.ts'
import type { Prober } from './prober.ts'
import type { RegistryDesk } from './registry-desk.ts'
import type { Scheduler } from './scheduler.ts'

/** Key exchanges whose sender's key the registry is being asked for. */
const HELD_MAX = 256

/** A sealed frame and the keys that may open it. */
export interface SealedAttempts {
  readonly nonce: Uint8Array
  readonly ciphertext: Uint8Array
  readonly attempts: readonly OpenAttempt[]
}

export interface FrameReceiverParts {
  readonly context: NodeContext
  readonly admission: Admission
  readonly desk: RegistryDesk
  readonly packets: PacketReceiver
  readonly peers: PeerTable
  readonly prober: Prober
  readonly scheduler: Scheduler
}

export class FrameReceiver {
  readonly #parts: FrameReceiverParts
  readonly #reader = new PacketReader()
  readonly #held = new Map<number, { readonly frame: Uint8Array; readonly via: ArrivalPath }>()

  constructor(parts: FrameReceiverParts) {
    this.#parts = parts
  }

  /** `relaySender`: the id a relay delivery named, which must be the frame's own. */
  handle(frame: Uint8Array, via: ArrivalPath, relaySender: number | undefined, now: Instant): void {
    const { context } = this.#parts
    switch (classifyFrame(frame)) {
      case 'sealed':
        return this.#handleSealed(frame, via, relaySender, now)
      case 'key-exchange':
        return this.#handleKeyExchange(frame, via, relaySender, now)
      case 'plain':
        return this.#handlePlain(frame, via, relaySender, now)
      case 'punch':
        return // opens the sender's own mapping; it says nothing to us
      case 'anonymous-key-exchange':
        return context.drop('unauthenticated-key-exchange')
      default:
        return context.drop('malformed')
    }
  }

  /** Where the AEAD answers later: what would be tried on this frame, in order; none when it is not sealed. */
  openAttempts(frame: Uint8Array): SealedAttempts | undefined {
    if (frame.length < SEALED_OVERHEAD_BYTES || classifyFrame(frame) !== 'sealed') return undefined
    const { sender, nonce, ciphertext } = decodeSealedFrame(frame)
    const attempts = this.#parts.peers.get(sender)?.tunnel.openAttempts ?? []
    return attempts.length === 0 ? undefined : { nonce, ciphertext, attempts }
  }

  /** The registry told the key of a node: a key exchange may have waited for it. */
  handleLookedUp(peerId: number, key: Uint8Array, now: Instant): void {
    const { context, peers } = this.#parts
    const held = this.#held.get(peerId)
    this.#held.delete(peerId)
    if (held === undefined) return
    const frame = decodeKeyExchangeFrame(held.frame)
    const known = peers.get(peerId)?.identityKey ?? peers.pinnedKey(peerId)
    if (equals(known ?? key, frame.identityKey))
      return this.#accept(frame, held.frame, held.via, now)
    context.drop('key-mismatch')
    context.emit({ type: 'peer-key-mismatch', nodeId: peerId })
  }

  handleLookupFailed(peerId: number): void {
    const { context, peers } = this.#parts
    const known = peers.get(peerId)?.identityKey ?? peers.pinnedKey(peerId)
    if (!this.#held.delete(peerId) || known === undefined) return
    context.drop('key-mismatch')
    context.emit({ type: 'peer-key-mismatch', nodeId: peerId })
  }

  #handleSealed(
    frame: Uint8Array,
    via: ArrivalPath,
    relaySender: number | undefined,
    now: Instant,
  ): void {
    const { context, peers } = this.#parts
    if (frame.length < SEALED_OVERHEAD_BYTES) return context.drop('malformed')
    const sender = ((frame[4]! << 24) | (frame[5]! << 16) | (frame[6]! << 8) | frame[7]!) >>> 0
    if (!this.#isAcceptable(sender, relaySender)) return
    const peer = peers.get(sender)
    if (peer === undefined || !peer.tunnel.isKeyed) {
      context.drop('unkeyed')
      return this.#recover(sender, peer, via, now)
    }
    const nonce = frame.subarray(8, SEALED_HEADER_BYTES)
    const opened = peer.tunnel.open(nonce, frame.subarray(SEALED_HEADER_BYTES), now)
    if (opened === 'replayed') {
      const counter = viewOf(nonce).getBigUint64(4)
      context.emitDetail({ type: 'packet-replayed', nodeId: sender, counter })
      return context.drop('replayed')
    }
    if (opened === 'forged') {
      context.drop('forged')
      return this.#recover(sender, peer, via, now)
    }
    const reader = this.#reader
    if (reader.read(opened) !== undefined) return context.drop('malformed')
    if (reader.sourceNode !== sender && !isOldKeepalive(reader))
      return context.drop('source-mismatch')
    this.#handlePacket(peer, frame.length, via, now)
  }

  /** Only from nodes that are configured to be talked to in the clear. */
  #handlePlain(
    frame: Uint8Array,
    via: ArrivalPath,
    relaySender: number | undefined,
    now: Instant,
  ): void {
    const { context, peers } = this.#parts
    const { plaintextPeers } = context.options
    if (context.isEncrypting && (plaintextPeers?.size ?? 0) === 0) return context.drop('plaintext')
    if (this.#reader.read(frame.slice(PLAIN_HEADER_BYTES)) !== undefined)
      return context.drop('malformed')
    const sender = this.#reader.sourceNode
    if (context.isEncrypting && plaintextPeers?.has(sender) !== true)
      return context.drop('plaintext')
    if (!this.#isAcceptable(sender, relaySender)) return
    const peer = peers.admit(sender, now)
    if (peer === undefined) return context.drop('peer-table')
    this.#handlePacket(peer, frame.length, via, now)
  }

  /** `#reader` holds a packet of the peer that counts as authentic. */
  #handlePacket(peer: Peer, frameBytes: number, via: ArrivalPath, now: Instant): void {
    const { packets, prober, scheduler } = this.#parts
    const before = peer.paths.way
    peer.bytesReceived += frameBytes
    peer.heardAt = now
    peer.nudges = 0
    peer.paths.handleAuthenticated(via, now)
    packets.handle(peer, this.#reader, now)
    prober.probeWanted(peer, now)
    if (peer.paths.way !== before) scheduler.pathChanged(peer, before, now)
    scheduler.touchPeer(peer, now)
  }

  #isAcceptable(sender: number, relaySender: number | undefined): boolean {
    const { context } = this.#parts
    if (sender === context.nodeId || sender === 0) context.drop('own-id')
    else if (relaySender !== undefined && relaySender !== sender) context.drop('relay-mismatch')
    else return true
    return false
  }

  /** A frame that no key of ours opens: one of the two has restarted. Ask for keys, but not for every frame. */
  #recover(sender: number, peer: Peer | undefined, via: ArrivalPath, now: Instant): void {
    const { context, admission, scheduler } = this.#parts
    if (!context.isEncrypting || context.nodeId === 0) return
    if (!admission.takeRecovery(now)) return
    if (peer !== undefined) {
      peer.tunnel.handleUndecryptable(now)
      if (peer.tunnel.wantsTransmit) peer.keyExchangeVia = via
      scheduler.touchPeer(peer, now)
      return
    }
    const request = context.freshKeys()?.announcements?.request
    if (request !== undefined && admission.takeKeyExchange(`recover ${sender}`, now))
      context.sendFrame(sender, via, request)
  }

  #handleKeyExchange(
    datagram: Uint8Array,
    via: ArrivalPath,
    relaySender: number | undefined,
    now: Instant,
  ): void {
    const { context, admission, peers } = this.#parts
    if (datagram.length < KEY_EXCHANGE_BYTES) return context.drop('malformed')
    if (!context.isEncrypting || context.localKeys?.announcements === undefined)
      return context.drop('not-encrypting')
    const frame = decodeKeyExchangeFrame(datagram)
    if (!this.#isAcceptable(frame.sender, relaySender)) return
    const source = via === 'relay' ? `relay ${frame.sender}` : via.address
    if (!admission.takeKeyExchange(source, now)) return context.drop('key-exchange-rate')
    const peer = peers.get(frame.sender)
    if (peer?.isPlaintext === true) return context.drop('not-encrypting')
    if (!this.#isSigned(frame, datagram, peer)) return context.drop('forged-key-exchange')
    const registered = peer?.identityKey ?? peers.pinnedKey(frame.sender)
    if (registered === undefined) return this.#hold(frame, datagram, via, now)
    if (equals(registered, frame.identityKey)) return this.#accept(frame, datagram, via, now)
    // It may have changed its key: the registry can show that the pinned one has signed the change.
    this.#hold(frame, datagram, via, now)
  }

  #isSigned(frame: KeyExchangeFrame, datagram: Uint8Array, peer: Peer | undefined): boolean {
    const verified = peer?.verifiedKeyExchange
    if (verified !== undefined && equals(verified, datagram.subarray(0, KEY_EXCHANGE_BYTES)))
      return true
    const signed = keyExchangeSigningBytes(frame.sender, frame.publicKey)
    return this.#parts.context.options.crypto.ed25519Verify(
      frame.identityKey,
      signed,
      frame.signature,
    )
  }

  /** Signed by the key it carries; whether that is the node's key, the registry must say. */
  #hold(frame: KeyExchangeFrame, datagram: Uint8Array, via: ArrivalPath, now: Instant): void {
    const { context, admission, desk } = this.#parts
    const isHeld = this.#held.has(frame.sender)
    if (!isHeld && (this.#held.size >= HELD_MAX || !admission.takeLookup(now)))
      return context.drop('key-exchange-rate')
    this.#held.set(frame.sender, { frame: datagram.slice(), via })
    if (isHeld) return
    desk.ask({ kind: 'lookup', peerId: frame.sender }, context.requests.lookup(frame.sender), now)
  }

  /** The frame is signed by the node's registered key. It may still be a replay of an older one. */
  #accept(frame: KeyExchangeFrame, datagram: Uint8Array, via: ArrivalPath, now: Instant): void {
    const { context, peers, prober, scheduler } = this.#parts
    const isKnown = peers.get(frame.sender) !== undefined
    const peer = peers.admit(frame.sender, now)
    if (peer === undefined) return context.drop('peer-table')
    if (!isKnown && via !== 'relay')
      context.emitDetail({ type: 'peer-added', nodeId: peer.id, endpoint: formatEndpoint(via) })
    peer.identityKey ??= frame.identityKey.slice()
    const wasKeyed = peer.tunnel.isKeyed
    const verdict = peer.tunnel.handleKeyExchange(frame, now)
    if (verdict === 'rejected') return context.drop('low-order-key')
    peer.verifiedKeyExchange = datagram.slice(0, KEY_EXCHANGE_BYTES)
    peer.paths.handleKeyExchange(via, now)
    peer.keyExchangeVia = via
    if (verdict === 'installed') {
      peer.isModern = false // whoever has other keys may be another program
      if (!wasKeyed) context.emit({ type: 'peer-keyed', nodeId: peer.id })
      else context.emitDetail({ type: 'peer-rekeyed', nodeId: peer.id })
      for (const stream of [...peer.streams.values()]) scheduler.touchStream(stream)
    }
    // Again for a key that is known: who restarted may have had to look ours up while the first probe came.
    if (peer.tunnel.hasCandidate) prober.probeKeys(peer, via, now)
    scheduler.touchPeer(peer, now)
  }
}

/** Old versions send empty keepalives from the zero address (spec/01 §7.3). */
function isOldKeepalive(reader: PacketReader): boolean {
  return (
    reader.protocol === PROTOCOL.control && reader.payloadLength === 0 && reader.sourceNode === 0
  )
}
