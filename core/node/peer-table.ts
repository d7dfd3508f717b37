/** The peers of a node: made when needed, capped, forgotten when idle. */
import { fromBase64 } from '../bytes.ts'
import { UsageError } from '../errors.ts'
import type { Instant } from '../machine.ts'
import { PathSelector } from '../nat/path-selector.ts'
import { Tunnel } from '../tunnel/tunnel.ts'
import type { NodeContext } from './context.ts'
import { Peer } from './peer.ts'
import type { Scheduler } from './scheduler.ts'
import type { TrustExchange } from './trust-exchange.ts'

const PEERS_MAX = 4096

/** Through a relay from one WebSocket to another nothing has to fit a datagram (spec/10 §8). */
const RELAYED_FRAME_BYTES_MAX = 16_384

export class PeerTable {
  readonly #context: NodeContext
  readonly #scheduler: Scheduler
  readonly #trust: TrustExchange
  readonly #peers = new Map<number, Peer>()

  constructor(context: NodeContext, scheduler: Scheduler, trust: TrustExchange) {
    this.#context = context
    this.#scheduler = scheduler
    this.#trust = trust
  }

  get all(): ReadonlyMap<number, Peer> {
    return this.#peers
  }

  get(id: number): Peer | undefined {
    return this.#peers.get(id)
  }

  /** @throws {UsageError} `ERR_LIMIT` when the table is full of peers with streams. */
  require(id: number, now: Instant): Peer {
    const peer = this.admit(id, now)
    if (peer === undefined)
      throw new UsageError('ERR_LIMIT', `connections to ${PEERS_MAX} peers are open`)
    return peer
  }

  /** The peer, made if need be; `undefined` when the table is full of peers with streams. */
  admit(id: number, now: Instant): Peer | undefined {
    const known = this.#peers.get(id)
    if (known !== undefined) return known
    const { crypto, plaintextPeers, beacon, relayOnly } = this.#context.options
    const { nodeId } = this.#context
    if (this.#peers.size >= PEERS_MAX && !this.#evict(now)) return undefined
    const localKeys = this.#context.freshKeys()
    if (localKeys === undefined) return undefined
    const tunnel = new Tunnel({ crypto, nodeId, peerId: id, localKeys })
    const isPlaintext = !this.#context.isEncrypting || plaintextPeers?.has(id) === true
    const peer = new Peer(
      id,
      tunnel,
      new PathSelector(
        beacon !== undefined,
        relayOnly === true ? RELAYED_FRAME_BYTES_MAX : undefined,
      ),
      isPlaintext,
      now,
    )
    peer.identityKey = this.pinnedKey(id)
    this.#peers.set(id, peer)
    return peer
  }

  /** Ends its streams without a word and forgets it. */
  remove(peer: Peer, now: Instant): void {
    if (peer.tunnel.isKeyed) this.#context.spendKeys()
    for (const stream of [...peer.streams.values()]) {
      stream.connection.abort('reset', now)
      this.#scheduler.forgetStream(stream)
    }
    this.#scheduler.forgetPeer(peer)
    this.#peers.delete(peer.id)
  }

  removeAll(now: Instant): void {
    for (const peer of [...this.#peers.values()]) this.remove(peer, now)
  }

  /** Key of a trusted node, which nobody can change by asking the registry. */
  pinnedKey(id: number): Uint8Array | undefined {
    const key = this.#trust.isReady ? this.#trust.manager.pinnedKey(id) : undefined
    return key === undefined ? undefined : fromBase64(key)
  }

  /** Makes room: the peer heard least recently among those without streams. */
  #evict(now: Instant): boolean {
    let idlest: Peer | undefined
    for (const peer of this.#peers.values())
      if (peer.streams.size === 0 && (idlest === undefined || peer.heardAt < idlest.heardAt))
        idlest = peer
    if (idlest !== undefined) this.remove(idlest, now)
    return idlest !== undefined
  }
}
