/**
 * Makes direct paths (WebRTC, WebSocket) to peers that are only relayed, and takes those that peers make. Trusted
 * peers only: what is said about paths holds our addresses. The relay carries everything until a path has proven
 * itself, and again when it dies; that is path selection's business, not this folder's.
 */
import { PORT } from '../../../core/index.ts'
import { TokenBuckets } from '../../../core/rate-limit.ts'
import type { NodeEvent, PilotConnection } from '../api.ts'
import { isMadePath } from '../path-socket.ts'
import type { WebSocketLike } from '../web-socket.ts'
import type { PathContext } from './path-context.ts'
import { PeerPaths } from './peer-paths.ts'
import { challengeDialer, type TurnAway } from './websocket-auth.ts'

/** Talks that one peer may begin: each makes a WebRTC connection. */
const TALK_BURST = 10
const TALKS_PER_SECOND = 0.5
/** How often it is seen to what is due. */
const TICK_MS = 500
/** WebSockets at our door that have not said who is behind them; the oldest makes room, since saying it takes no time. */
const STRANGERS_MAX = 64
/** A peer not used for so long is not dialed again. */
const WANTED_MS = 300_000

export class DirectPaths {
  readonly #context: PathContext
  readonly #peers = new Map<number, PeerPaths>()
  readonly #talks = new TokenBuckets<number>({ burst: TALK_BURST, perSecond: TALKS_PER_SECOND })
  readonly #strangers = new Set<TurnAway>()
  readonly #stopListening: () => void
  readonly #timer: ReturnType<typeof setInterval>

  constructor(context: PathContext) {
    this.#context = context
    const { node, door } = context
    const listener = node.listen(PORT.paths)
    listener.onconnection = (stream) => this.#accept(stream)
    const unsubscribe = node.on((event) => this.#handleEvent(event))
    if (door !== undefined) door.onsocket = (socket) => this.#admit(socket)
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
    this.#stopListening = () => {
      unsubscribe()
      listener.close()
      if (door !== undefined) door.onsocket = undefined
    }
  }

  /** Why there is no direct path of some kind, for people; `''` where none failed. */
  reason(peerId: number): string {
    return this.#peers.get(peerId)?.reason ?? ''
  }

  /** The network changed, or the machine slept: what failed is tried again soon. */
  retrySoon(): void {
    for (const paths of this.#peers.values()) paths.retrySoon()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#stopListening()
    for (const turnAway of [...this.#strangers]) turnAway()
    for (const peerId of [...this.#peers.keys()]) this.#drop(peerId, 'the node is closing')
  }

  #handleEvent(event: NodeEvent): void {
    if (event.type === 'path-changed' || event.type === 'trust-established')
      this.#connect(event.nodeId)
    else if (event.type === 'trust-revoked')
      this.#drop(event.nodeId, 'the peer is no longer trusted')
  }

  #connect(peerId: number): void {
    const { isRelayOnly, machine, node } = this.#context
    const paths = machine.peers.get(peerId)?.paths
    if (paths?.kind !== 'relay' || !node.trust.isTrusted(peerId)) return
    // Where UDP may still find its way it is given a moment; the tick sees to the rest.
    if (isRelayOnly || paths.isRelayOnly) void this.#of(peerId).connect()
  }

  #tick(): void {
    const { machine, node, now } = this.#context
    for (const peer of machine.peers.values()) {
      if (!node.trust.isTrusted(peer.id)) continue
      const { kind, endpoint } = peer.paths
      const isWanted = peer.streams.size > 0 || now() - peer.lastUseAt < WANTED_MS
      // Nothing is better than an endpoint of the network.
      const isOnNetwork = kind === 'direct' && endpoint !== undefined && !isMadePath(endpoint)
      if (isOnNetwork) this.#peers.get(peer.id)?.handleNetworkPath()
      else if (isWanted && kind !== 'none') this.#of(peer.id).handleTick(kind === 'relay')
    }
    for (const peerId of [...this.#peers.keys()])
      if (!machine.peers.has(peerId)) this.#drop(peerId, 'the peer is idle')
  }

  #accept(stream: PilotConnection): void {
    const peerId = stream.remote.address.node
    const key = this.#keyOf(peerId)
    if (key === undefined || !this.#talks.take(peerId, this.#context.now())) return stream.reset()
    this.#of(peerId).accept(stream, key)
  }

  #admit(socket: WebSocketLike): void {
    const { crypto, node, unixNow } = this.#context
    const [oldest] = this.#strangers
    if (this.#strangers.size >= STRANGERS_MAX) oldest?.()
    const turnAway = challengeDialer({
      socket,
      crypto,
      nodeId: node.nodeId,
      unixNow,
      keyOf: (peerId) => this.#keyOf(peerId),
      ondone: (outcome) => {
        this.#strangers.delete(turnAway)
        if ('peerId' in outcome) this.#of(outcome.peerId).adopt(socket)
      },
    })
    this.#strangers.add(turnAway)
  }

  /** Of a peer that is trusted and met. */
  #keyOf(peerId: number): Uint8Array | undefined {
    const { machine, node } = this.#context
    return node.trust.isTrusted(peerId) ? machine.peers.get(peerId)?.identityKey : undefined
  }

  #drop(peerId: number, reason: string): void {
    const paths = this.#peers.get(peerId)
    this.#peers.delete(peerId)
    paths?.close(reason)
  }

  #of(peerId: number): PeerPaths {
    let paths = this.#peers.get(peerId)
    if (paths === undefined) {
      paths = new PeerPaths(this.#context, peerId)
      this.#peers.set(peerId, paths)
    }
    return paths
  }
}
