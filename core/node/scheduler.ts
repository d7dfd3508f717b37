/**
 * What is due: peers with something to send, streams with news, and one heap of timers for both. After
 * anything that may have changed a stream or a peer, `touchStream` or `touchPeer` puts it where it belongs.
 */
import type { Instant } from '../machine.ts'
import type { Way } from '../nat/path-selector.ts'
import type { PortTable } from '../port/port-table.ts'
import { TimerHeap } from '../timer-heap.ts'
import type { NodeContext } from './context.ts'
import { PEER_IDLE_MS, type Peer } from './peer.ts'
import { detailOf, type Stream } from './stream.ts'

export class Scheduler {
  readonly #context: NodeContext
  readonly #ports: PortTable
  readonly #timers = new TimerHeap<Stream | Peer>()
  readonly #readyPeers: Peer[] = []
  readonly #news: Stream[] = []
  readonly #trustNews: Stream[] = []
  #streams = 0
  #live = 0

  constructor(context: NodeContext, ports: PortTable) {
    this.#context = context
    this.#ports = ports
  }

  /** Streams there are, TIME_WAIT included. */
  get streams(): number {
    return this.#streams
  }
  /** Those that are not in TIME_WAIT. */
  get live(): number {
    return this.#live
  }
  get timers(): number {
    return this.#timers.size
  }
  get earliest(): Instant | undefined {
    return this.#timers.earliest()
  }
  get hasTrustNews(): boolean {
    return this.#trustNews.length > 0
  }

  popDue(now: Instant): Stream | Peer | undefined {
    return this.#timers.popDue(now)
  }

  addStream(stream: Stream): void {
    stream.peer.streams.set(stream.key, stream)
    this.#streams++
    this.#live++
    stream.isLive = true
    this.touchStream(stream)
  }

  touchStream(stream: Stream): void {
    const { connection, peer } = stream
    const hasNews = this.#collectNews(stream) || isNewlyDelivered(stream)
    if (connection.wantsTransmit && !stream.isReady) {
      stream.isReady = true
      peer.ready.push(stream)
    }
    if (peer.ready.length > 0) this.queuePeer(peer)
    if (connection.state === 'TIME_WAIT') this.#uncount(stream)
    if (connection.state === 'CLOSED' && !connection.wantsTransmit) this.#removeStream(stream)
    else this.#timers.set(stream, connection.pollTimeout())
    if (hasNews) this.#notify(stream)
  }

  /** The next stream with news for the application. */
  pollStream(): Stream | undefined {
    return take(this.#news)
  }

  /** The next stream of the node's own trust messages with news. */
  pollTrustStream(): Stream | undefined {
    return take(this.#trustNews)
  }

  touchPeer(peer: Peer, now: Instant): void {
    if (peer.wantsKeys) peer.tunnel.want(now)
    else peer.tunnel.unwant()
    peer.tunnel.handleTimeout(now)
    this.queuePeer(peer)
    this.armPeer(peer)
  }

  /** Packets of the peer go another way now: people are told, and streams do not wait for timers. */
  pathChanged(peer: Peer, before: Way, now: Instant): void {
    this.#context.emit({ type: 'path-changed', nodeId: peer.id, path: peer.paths.kind })
    const isOldAlive = peer.paths.isBetterThan(before)
    const { segmentBytes } = peer
    // The last probe was of the path that was left, unless it made us take this one.
    const rttMs = isOldAlive ? peer.rttMs : undefined
    for (const stream of [...peer.streams.values()]) {
      stream.connection.handlePathChange(now, { segmentBytes, rttMs, isOldAlive })
      this.touchStream(stream)
    }
  }

  /** The way that packets of the peer take carries larger ones now. */
  segmentChanged(peer: Peer): void {
    const { segmentBytes } = peer
    for (const stream of peer.streams.values()) stream.connection.setSegmentBytes(segmentBytes)
  }

  /** It carries less than it did: what is under way is lost, and leaves again in smaller pieces. */
  segmentShrunk(peer: Peer, now: Instant): void {
    const { segmentBytes } = peer
    for (const stream of [...peer.streams.values()]) {
      stream.connection.handlePathChange(now, { segmentBytes })
      this.touchStream(stream)
    }
    this.touchPeer(peer, now)
  }

  /** The outlet that packets of the peer take now has enough to do. */
  isPaused({ paths }: Peer): boolean {
    const { paused, options } = this.#context
    if (paused.size === 0) return false
    const outlet = paths.isProven ? paths.endpoint : options.beacon
    return outlet !== undefined && paused.has(outlet.address)
  }

  queuePeer(peer: Peer): void {
    const hasWork =
      (peer.tunnel.wantsTransmit && !peer.isPlaintext) ||
      (peer.canTransmit && !this.isPaused(peer) && (peer.hasOutbox || peer.ready.length > 0))
    if (!hasWork || peer.isReady) return
    peer.isReady = true
    this.#readyPeers.push(peer)
  }

  get readyPeer(): Peer | undefined {
    return this.#readyPeers[0]
  }

  /** The first ready peer has had its turn: a peer with a full window does not hold up the others. */
  rotate(): void {
    const peer = this.#readyPeers.length > 1 ? this.#readyPeers.shift() : undefined
    if (peer !== undefined) this.#readyPeers.push(peer)
  }

  /** The first ready peer has nothing that can leave now. */
  retire(): void {
    const peer = this.#readyPeers.shift()
    if (peer === undefined) return
    peer.isReady = false
    this.armPeer(peer)
  }

  armPeer(peer: Peer): void {
    this.#timers.set(peer, peer.tunnel.pollTimeout())
    this.#timers.set(peer, peer.paths.pollTimeout())
    this.#timers.set(peer, peer.mtu.pollTimeout())
    this.#timers.set(peer, peer.nudgeAt)
    this.#timers.set(peer, peer.lastUseAt + PEER_IDLE_MS + 1)
  }

  forgetPeer(peer: Peer): void {
    this.#timers.delete(peer)
    const index = this.#readyPeers.indexOf(peer)
    if (index >= 0) this.#readyPeers.splice(index, 1)
    peer.isReady = false
  }

  /** A stream of a peer that is being forgotten: what it still wanted to send has nowhere to go. */
  forgetStream(stream: Stream): void {
    this.touchStream(stream)
    this.#removeStream(stream)
  }

  #removeStream(stream: Stream): void {
    if (stream.peer.streams.get(stream.key) !== stream) return
    stream.peer.streams.delete(stream.key)
    this.#streams--
    this.#timers.delete(stream)
    this.#uncount(stream)
  }

  #uncount(stream: Stream): void {
    if (stream.isLive) this.#live--
    stream.isLive = false
    if (stream.isCounted) this.#ports.countConnection(stream.connection.local.port, -1)
    stream.isCounted = false
  }

  /** Moves what the connection says into the stream's news; true when there was anything. */
  #collectNews(stream: Stream): boolean {
    const { connection, news } = stream
    let hasNews = false
    for (let event = connection.pollEvent(); event !== undefined; event = connection.pollEvent()) {
      hasNews = true
      if (event === 'connected') {
        news.isConnected = true
        if (stream.isInbound)
          this.#context.emitDetail({ type: 'stream-established', ...detailOf(stream) })
      } else if (event === 'readable') news.isReadable = true
      else if (event === 'writable') news.isWritable = true
      else if (event === 'ended') {
        news.isEnded = true
        this.#context.emitDetail({ type: 'stream-ended', ...detailOf(stream) })
      } else news.isClosed = true
    }
    return hasNews
  }

  #notify(stream: Stream): void {
    if (stream.owner !== 'application') {
      if (!stream.isNotified) this.#trustNews.push(stream)
      stream.isNotified = true
      return
    }
    if (stream.news.isConnected && stream.isInbound) {
      stream.news.isConnected = false
      this.#context.emit({ type: 'incoming', stream })
    }
    if (!stream.isNotified) this.#news.push(stream)
    stream.isNotified = true
  }
}

function take(queue: Stream[]): Stream | undefined {
  const stream = queue.shift()
  if (stream !== undefined) stream.isNotified = false
  return stream
}

/** A trust message of ours was acknowledged: told once, for its end of stream may never be. */
function isNewlyDelivered(stream: Stream): boolean {
  const { connection, owner } = stream
  if (owner !== 'trust-outbound' || stream.isHandled) return false
  stream.isHandled = connection.state !== 'SYN_SENT' && connection.isDrained
  return stream.isHandled
}
