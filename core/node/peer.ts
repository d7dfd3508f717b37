/**
 * Everything the node knows of one other node: its registered key, tunnel, paths, streams, and packets
 * that wait. Plain state with its invariants; the node machine decides.
 */
import type { Instant } from '../machine.ts'
import { PathMtu } from '../nat/path-mtu.ts'
import type { ArrivalPath, PathSelector } from '../nat/path-selector.ts'
import type { Timed } from '../timer-heap.ts'
import type { KeyProfile } from '../tunnel/session.ts'
import type { Tunnel } from '../tunnel/tunnel.ts'
import { SEAL_TAG_BYTES, SEALED_HEADER_BYTES } from '../wire/frame.ts'
import { PACKET_HEADER_BYTES } from '../wire/packet.ts'
import type { Stream } from './stream.ts'

/** A whole packet (header and payload) that waits for its turn, or for keys. */
export interface OutboxPacket {
  readonly packet: Uint8Array
  /** Only for this path, e.g. a probe of it; else wherever the peer's packets go. */
  readonly via?: ArrivalPath
  /** A probe: sealed under an unconfirmed key where there is one. */
  readonly isProbe?: boolean
  /** The second copy of a packet that goes out once per key profile. */
  readonly profile?: KeyProfile
}

/** A peer without streams and without a word is forgotten after this. */
export const PEER_IDLE_MS = 600_000
/** Packets that wait for keys; the newest is refused when full (spec/01 §7.3). */
const OUTBOX_UNKEYED_MAX = 64
const OUTBOX_KEYED_MAX = 1024
const PROBES_MAX = 32

/** What is around the payload of a packet in a sealed frame. */
export const SEGMENT_OVERHEAD_BYTES: number =
  SEALED_HEADER_BYTES + PACKET_HEADER_BYTES + SEAL_TAG_BYTES

/** What the registry was asked about a peer. */
export type Inquiry =
  | { readonly name: 'none' }
  | { readonly name: 'asked'; readonly at: Instant }
  | { readonly name: 'answered'; readonly at: Instant }
  | { readonly name: 'failed'; readonly at: Instant }

export interface Probe {
  readonly sentOn: ArrivalPath | undefined
  readonly sentAt: Instant
  readonly payload: Uint8Array
  /** Set for a probe of the path's MTU: its size as a datagram. */
  readonly datagramBytes: number | undefined
  /** Set for a ping that the application asked for. */
  readonly pingId: number | undefined
}

export class Peer implements Timed {
  readonly kind = 'peer'
  readonly id: number
  readonly tunnel: Tunnel
  readonly paths: PathSelector
  readonly mtu: PathMtu = new PathMtu()
  /** Known to count windows in bytes, and so to take segments of any size (spec/10 §1). */
  isModern = false
  readonly streams: Map<number, Stream> = new Map()
  /** Ed25519 key, pinned or registered; `undefined` until the registry told it. */
  identityKey: Uint8Array | undefined
  /** Bytes of the last key exchange that verified: the same again need not be verified again. */
  verifiedKeyExchange: Uint8Array | undefined
  /** Configured to be talked to in the clear. */
  readonly isPlaintext: boolean
  resolveInquiry: Inquiry = { name: 'none' }
  lookupInquiry: Inquiry = { name: 'none' }
  /** Where the frame came from that the next key exchange answers. */
  keyExchangeVia: ArrivalPath | undefined
  /** Streams with something to send, served in turn. */
  readonly ready: Stream[] = []
  /** Waits in the node's queue of peers with something to send. */
  isReady = false
  heapAt: Instant = Number.POSITIVE_INFINITY
  heapIndex = -1
  /** When we last dialed, and when the next push is due for dials that get no answer. */
  dialedAt: Instant = Number.NEGATIVE_INFINITY
  nudgeAt: Instant | undefined
  nudges = 0
  /** Last time a frame of the peer authenticated. */
  heardAt: Instant = Number.NEGATIVE_INFINITY
  lastUseAt: Instant
  rttMs: number | undefined
  /** Of tunnel datagrams to this peer, and of frames of it that were authenticated. */
  bytesSent = 0
  bytesReceived = 0
  readonly #outbox: OutboxPacket[] = []
  readonly #probes = new Map<number, Probe>()
  #nextProbeSeq = 1

  constructor(id: number, tunnel: Tunnel, paths: PathSelector, isPlaintext: boolean, now: Instant) {
    this.id = id
    this.tunnel = tunnel
    this.paths = paths
    this.isPlaintext = isPlaintext
    this.lastUseAt = now
  }

  /** Packets may leave: there are keys, or none are wanted. */
  get canTransmit(): boolean {
    return this.isPlaintext || this.tunnel.isKeyed
  }

  get hasOutbox(): boolean {
    return this.#outbox.length > 0
  }

  /** Stream payload that fits one frame of the present way, where that is known to take more than others. */
  get segmentBytes(): number | undefined {
    const { paths } = this
    const ofNetwork = paths.isProven ? this.mtu.bytesTo(paths.endpoint) : undefined
    const frameBytes = paths.frameBytesMax ?? ofNetwork
    return frameBytes === undefined ? undefined : frameBytes - SEGMENT_OVERHEAD_BYTES
  }

  /** True while something waits that only leaves with keys. */
  get wantsKeys(): boolean {
    return !this.canTransmit && (this.#outbox.length > 0 || this.streams.size > 0)
  }

  /** False when the queue is full and the packet was refused. */
  push(packet: OutboxPacket): boolean {
    if (this.#outbox.length >= (this.canTransmit ? OUTBOX_KEYED_MAX : OUTBOX_UNKEYED_MAX))
      return false
    this.#outbox.push(packet)
    return true
  }

  /** Puts a packet first, whatever the queue holds: the second copy of one that just left. */
  pushFirst(packet: OutboxPacket): void {
    this.#outbox.unshift(packet)
  }

  shift(): OutboxPacket | undefined {
    return this.#outbox.shift()
  }

  get probes(): ReadonlyMap<number, Probe> {
    return this.#probes
  }

  /** Remembers a probe under a fresh number, which is returned; the oldest is forgotten when there are many. */
  addProbe(probe: Probe): number {
    const seq = this.#nextProbeSeq
    this.#nextProbeSeq = (seq % 0x7fffffff) + 1
    this.#probes.set(seq, probe)
    if (this.#probes.size > PROBES_MAX) this.#probes.delete(this.#probes.keys().next().value!)
    return seq
  }

  /** The probe of this number, which is then answered. */
  takeProbe(seq: number): Probe | undefined {
    const probe = this.#probes.get(seq)
    this.#probes.delete(seq)
    return probe
  }

  getProbe(seq: number): Probe | undefined {
    return this.#probes.get(seq)
  }
}
