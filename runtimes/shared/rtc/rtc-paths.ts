/**
 * Makes WebRTC paths to peers that are only relayed, and takes those that peers make. Trusted peers only: a
 * description holds our addresses. The relay carries everything until the channel has proven itself, and
 * again when it dies; that is path selection's business, not this file's.
 */
import {
  type CryptoProvider,
  type Endpoint,
  type NodeMachine,
  PilotError,
  PORT,
  type Signer,
  toHex,
} from '../../../core/index.ts'
import type { NodeEvent, PilotConnection, PilotNode } from '../api.ts'
import type { PathSocket } from '../path-socket.ts'
import type { MakePeerConnection } from './peer-connection.ts'
import { CHANNEL_FRAME_MAX, RtcSession, yieldsTo } from './rtc-session.ts'

/** Of what a data channel is as a path: an endpoint of the network is preferred to it. */
const CHANNEL_PATH = { frameBytesMax: CHANNEL_FRAME_MAX, rank: 1 }
/** First wait after an attempt that failed; doubles to the last. */
const RETRY_MS = 1000
const RETRY_MAX_MS = 300_000

export interface RtcPathsOptions {
  readonly node: PilotNode
  readonly machine: NodeMachine
  readonly socket: PathSocket
  readonly crypto: CryptoProvider
  readonly identity: Signer
  readonly now: () => number
  /** The machine was changed: let the driver drain. */
  readonly schedule: () => void
  readonly createConnection: MakePeerConnection
}

/** What became of attempts with one peer, for people. */
export interface RtcPathState {
  readonly state: 'negotiating' | 'open' | 'failed'
  /** Why not, when failed. */
  readonly reason: string
}

interface PeerPaths {
  /** Our own attempt is on its way to the peer. */
  isDialing: boolean
  session: RtcSession | undefined
  endpoint: Endpoint | undefined
  failures: number
  nextTryAt: number
  reason: string
}

export class RtcPaths {
  readonly #options: RtcPathsOptions
  readonly #peers = new Map<number, PeerPaths>()
  readonly #stopListening: () => void
  readonly #timer: ReturnType<typeof setInterval>

  constructor(options: RtcPathsOptions) {
    this.#options = options
    const { node } = options
    const listener = node.listen(PORT.paths)
    listener.onconnection = (stream) => this.#accept(stream)
    const unsubscribe = node.on((event) => this.#handleEvent(event))
    this.#timer = setInterval(() => this.#retry(), RETRY_MS)
    this.#stopListening = () => {
      unsubscribe()
      listener.close()
    }
  }

  state(peerId: number): RtcPathState | undefined {
    const paths = this.#peers.get(peerId)
    if (paths === undefined) return undefined
    if (paths.endpoint !== undefined) return { state: 'open', reason: '' }
    const state = paths.session === undefined ? 'failed' : 'negotiating'
    return { state, reason: paths.reason }
  }

  close(): void {
    clearInterval(this.#timer)
    this.#stopListening()
    for (const { session } of [...this.#peers.values()]) session?.end('the node is closing')
  }

  /** Begins an attempt with a peer, unless one is under way, done, or failed a moment ago. */
  async connect(peerId: number): Promise<void> {
    const { node, now, crypto } = this.#options
    const paths = this.#of(peerId)
    if (paths.isDialing || paths.session !== undefined || now() < paths.nextTryAt) return
    if (!node.trust.isTrusted(peerId)) return
    paths.isDialing = true
    try {
      const target = { address: { network: 0, node: peerId }, port: PORT.paths }
      const stream = await node.dial(target, { timeoutMs: 10_000 })
      // While we dialed the peer's own attempt may have come, and been given way to.
      if (paths.session !== undefined) stream.reset()
      else this.#begin(stream, peerId, toHex(crypto.random(16)))
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
      if (paths.session === undefined) this.#failed(paths, error.message)
    } finally {
      paths.isDialing = false
    }
  }

  #handleEvent(event: NodeEvent): void {
    const isRelayed = event.type === 'path-changed' && event.path === 'relay'
    if (isRelayed || event.type === 'trust-established') void this.connect(event.nodeId)
  }

  #retry(): void {
    for (const peer of this.#options.machine.peers.values())
      if (peer.paths.kind === 'relay') void this.connect(peer.id)
  }

  #accept(stream: PilotConnection): void {
    const { node, machine } = this.#options
    const peerId = stream.remote.address.node
    const peerKey = machine.peers.get(peerId)?.identityKey
    if (peerKey === undefined || !node.trust.isTrusted(peerId)) return stream.reset()
    // Two attempts at once: the one of the smaller key goes on, at both ends.
    const { session, isDialing } = this.#of(peerId)
    const isOursUnderWay = isDialing || (session?.isInitiator === true && !session.isOpen)
    if (isOursUnderWay && !yieldsTo(node.publicKey, peerKey)) return stream.reset()
    session?.end('another attempt takes its place')
    this.#begin(stream, peerId, undefined)
  }

  #begin(stream: PilotConnection, peerId: number, session: string | undefined): void {
    const { crypto, identity, machine, node, socket, createConnection } = this.#options
    const peerKey = machine.peers.get(peerId)?.identityKey
    const paths = this.#of(peerId)
    if (peerKey === undefined) return stream.reset()
    paths.session = new RtcSession({
      crypto,
      identity,
      nodeId: node.nodeId,
      peerId,
      peerKey,
      stream,
      session,
      createConnection,
      onopen: (opened) => this.#opened(paths, opened),
      onframe: (frame) => {
        if (paths.endpoint !== undefined) socket.deliver(frame, paths.endpoint)
      },
      onend: (ended, reason) => this.#ended(paths, ended, reason),
    })
  }

  #opened(paths: PeerPaths, session: RtcSession): void {
    const { machine, socket, now, schedule } = this.#options
    paths.endpoint = socket.addPath((frame) => session.send(frame))
    paths.failures = 0
    paths.reason = ''
    machine.offerPath(session.peerId, paths.endpoint, now(), CHANNEL_PATH)
    schedule()
  }

  #ended(paths: PeerPaths, session: RtcSession, reason: string): void {
    const { machine, socket, now, schedule } = this.#options
    if (paths.session !== session) return
    paths.session = undefined
    const { endpoint } = paths
    paths.endpoint = undefined
    this.#failed(paths, reason)
    if (endpoint === undefined) return
    socket.removePath(endpoint)
    machine.withdrawPath(session.peerId, endpoint, now())
    schedule()
  }

  #failed(paths: PeerPaths, reason: string): void {
    const wait = Math.min(RETRY_MS * 2 ** paths.failures, RETRY_MAX_MS)
    paths.failures++
    paths.reason = reason
    paths.nextTryAt = this.#options.now() + wait
  }

  #of(peerId: number): PeerPaths {
    let paths = this.#peers.get(peerId)
    if (paths === undefined) {
      paths = {
        isDialing: false,
        session: undefined,
        endpoint: undefined,
        failures: 0,
        nextTryAt: 0,
        reason: '',
      }
      this.#peers.set(peerId, paths)
    }
    return paths
  }
}
