/** What the parts of one node share: who it is, what it was told to be, counters and the event queue. */
import { utf8, viewOf } from '../bytes.ts'
import type { Endpoint } from '../machine.ts'
import type { ArrivalPath } from '../nat/path-selector.ts'
import { RegistryRequests } from '../rendezvous/registry-requests.ts'
import { LocalKeys } from '../tunnel/local-keys.ts'
import type { Address } from '../wire/address.ts'
import { encodePacket } from '../wire/packet.ts'
import type { NodeDetail, NodeMachineEvent } from './events.ts'
import type { NodeMachineOptions } from './options.ts'

/** Datagrams outside any peer's queue: beacon messages, punches, requests for keys. */
const RAW_MAX = 256
const EMPTY = new Uint8Array(0)

/** Fields of a packet that has no connection; what is left out is 0 or empty. */
export interface LoosePacket {
  readonly protocol: number
  readonly flags?: number
  readonly sourceNetwork?: number
  readonly sourcePort: number
  readonly destination: Address
  readonly destinationPort: number
  readonly seq?: number
  readonly ack?: number
  readonly payload?: Uint8Array
}

/** A finished datagram for an endpoint, or (with a node id) a frame for a node by the path given. */
export interface RawDatagram {
  readonly nodeId: number
  readonly via: ArrivalPath
  readonly datagram: Uint8Array
}

export class NodeContext {
  readonly options: NodeMachineOptions
  readonly events: NodeMachineEvent[] = []
  readonly raw: RawDatagram[] = []
  /** Counted drops by reason. */
  readonly drops: Record<string, number> = {}
  nodeId = 0
  address: Address = { network: 0, node: 0 }
  requests: RegistryRequests
  /** `undefined` before the first registration: keys are announced under a node id. */
  localKeys: LocalKeys | undefined
  isClosing = false
  /** Outlets that have enough to do, by their endpoint's address. */
  readonly paused: Set<string> = new Set()
  /** What waits for a signature, by the id of its `sign` event. */
  readonly #signing = new Map<number, (signature: Uint8Array) => void>()
  #nextSigningId = 1
  /** A peer that still holds the present keys was forgotten. */
  #areKeysSpent = false

  constructor(options: NodeMachineOptions) {
    this.options = options
    this.requests = new RegistryRequests(options.identity.publicKey, 0)
  }

  /** The registry gave us this id. */
  adopt(nodeId: number): void {
    this.nodeId = nodeId
    this.requests = new RegistryRequests(this.options.identity.publicKey, nodeId)
    this.localKeys = this.createLocalKeys()
    this.#areKeysSpent = false
  }

  /**
   * Keys for a tunnel that begins; `undefined` before the first registration. The reference never answers an
   * announcement of a key it knows (spec/01 §7.1), so a peer that was forgotten here and not there could never
   * be spoken to under the same key again.
   */
  freshKeys(): LocalKeys | undefined {
    if (this.#areKeysSpent) this.localKeys = this.createLocalKeys()
    this.#areKeysSpent = false
    return this.localKeys
  }

  /** A peer with keys was forgotten: the next tunnel gets others. */
  spendKeys(): void {
    this.#areKeysSpent = true
  }

  createLocalKeys(): LocalKeys {
    const { crypto, identity } = this.options
    const keys = new LocalKeys(crypto, identity.publicKey, this.nodeId)
    this.sign(keys.signingBytes, (signature) => keys.setSignature(signature))
    return keys
  }

  /** `done` is called with the identity's signature: at once, or when the owner of the key has made it. */
  sign(message: Uint8Array | string, done: (signature: Uint8Array) => void): void {
    const { identity } = this.options
    const bytes = typeof message === 'string' ? utf8(message) : message
    if (identity.sign !== undefined) return done(identity.sign(bytes))
    const id = this.#nextSigningId++
    this.#signing.set(id, done)
    this.emit({ type: 'sign', id, message: bytes })
  }

  /** The answer to a `sign` event; `undefined` when there is none to be had. */
  handleSignature(id: number, signature: Uint8Array | undefined): void {
    const done = this.#signing.get(id)
    this.#signing.delete(id)
    if (signature === undefined) this.drop('unsigned')
    else done?.(signature)
  }

  get isEncrypting(): boolean {
    return this.options.encrypt !== false
  }

  drop(reason: string): void {
    this.drops[reason] = (this.drops[reason] ?? 0) + 1
  }

  emit(event: NodeMachineEvent): void {
    this.events.push(event)
  }

  /** For who watches closely. */
  emitDetail(detail: NodeDetail): void {
    if (this.options.details === true) this.events.push(detail)
  }

  sendRaw(to: Endpoint, datagram: Uint8Array): void {
    this.#pushRaw({ nodeId: 0, via: to, datagram })
  }

  /** A frame for a node that need not be a peer. */
  sendFrame(nodeId: number, via: ArrivalPath, datagram: Uint8Array): void {
    this.#pushRaw({ nodeId, via, datagram })
  }

  encode(packet: LoosePacket): Uint8Array {
    const { sourceNetwork = 0, flags = 0, seq = 0, ack = 0, payload = EMPTY } = packet
    const source = { network: sourceNetwork, node: this.nodeId }
    return encodePacket({ ...packet, source, flags, seq, ack, window: 0, payload })
  }

  /** Below 2^31: the reference compares some of these numbers without wrapping (spec/03 §7.8). */
  randomIsn(): number {
    return viewOf(this.options.crypto.random(4)).getUint32(0) >>> 2
  }

  #pushRaw(raw: RawDatagram): void {
    if (this.raw.length < RAW_MAX) this.raw.push(raw)
    else this.drop('raw-queue')
  }
}
