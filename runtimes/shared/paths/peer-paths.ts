/** Direct paths to one trusted peer: the talk about them, the WebRTC path, the WebSocket. */
import { PilotError, PORT, toHex } from '../../../core/index.ts'
import type { PilotConnection } from '../api.ts'
import type { MakePeerConnection } from '../rtc/peer-connection.ts'
import { RtcPath } from '../rtc/rtc-path.ts'
import type { WebSocketLike } from '../web-socket.ts'
import { OfferedPath, type PathContext } from './path-context.ts'
import { PathSession, STREAM_LOST } from './path-session.ts'
import type { SignalBody } from './signal-message.ts'
import { WebSocketPaths } from './websocket-paths.ts'

/** First wait after an attempt that failed; doubles to the last. */
const RETRY_MS = 1000
const RETRY_MAX_MS = 300_000
const DIAL_MS = 10_000
/** A peer that UDP may reach is relayed so long before other paths are talked about. */
const UDP_CHANCE_MS = 500
/** How long a path is kept beside an endpoint of the network that works. */
const STANDBY_MS = 10_000
/** Who accepts a session and hears nothing lets it go. */
const SILENT_MS = 20_000

/** One talk, and the WebRTC path that it is about. */
interface Talk {
  readonly session: PathSession
  /** This node makes WebRTC connections, or has not failed to. */
  hasRtc: boolean
  rtc: RtcPath | undefined
  offered: OfferedPath | undefined
  hasHeard: boolean
  /** Runs until it has heard something. */
  readonly silence: ReturnType<typeof setTimeout>
}

export class PeerPaths {
  readonly peerId: number
  readonly #context: PathContext
  readonly #websocket: WebSocketPaths
  /** Our own attempt is on its way to the peer. */
  #isDialing = false
  #talk: Talk | undefined
  /** Talks begun, by either side. */
  #talks = 0
  #failures = 0
  #nextTryAt = 0
  #relayedSince: number | undefined
  #onNetworkSince: number | undefined
  #rtcReason = ''

  constructor(context: PathContext, peerId: number) {
    this.#context = context
    this.peerId = peerId
    this.#websocket = new WebSocketPaths(context, peerId)
  }

  /** Of either kind. */
  get isOpen(): boolean {
    return this.#websocket.isOpen || this.#talk?.offered !== undefined
  }

  /** Why there is no path of either kind that was tried, for people; `''` where there is one, or none was tried. */
  get reason(): string {
    const reasons: string[] = []
    if (this.#rtcReason !== '') reasons.push(`WebRTC: ${this.#rtcReason}`)
    if (this.#websocket.reason !== '') reasons.push(`WebSocket: ${this.#websocket.reason}`)
    return reasons.join('; ')
  }

  /** Begins a talk, unless one is under way, or the last failed a moment ago. */
  async connect(): Promise<void> {
    const { node, now, crypto } = this.#context
    if (this.#isDialing || this.#talk !== undefined || now() < this.#nextTryAt) return
    this.#isDialing = true
    const before = this.#talks
    try {
      const target = { address: { network: 0, node: this.peerId }, port: PORT.paths }
      const stream = await node.dial(target, { timeoutMs: DIAL_MS })
      // While we dialed the peer's own attempt may have come, been given way to, and said all there is to say.
      if (this.#talks !== before || !node.trust.isTrusted(this.peerId)) stream.reset()
      else this.#begin(stream, toHex(crypto.random(16)))
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
      if (this.#talks !== before) return
      this.#failed(error.message)
      // It makes no paths, like every node of the reference; when that changes it will dial us.
      if (error.code === 'ERR_CONNECTION_REFUSED') this.#nextTryAt = now() + RETRY_MAX_MS
    } finally {
      this.#isDialing = false
    }
  }

  /** The peer begins one. Of two at once the one of the smaller key goes on, at both ends. */
  accept(stream: PilotConnection, peerKey: Uint8Array): void {
    const talk = this.#talk
    const isOursUnderWay =
      this.#isDialing || (talk?.session.isInitiator === true && talk.offered === undefined)
    if (isOursUnderWay && !yieldsTo(this.#context.node.publicKey, peerKey)) return stream.reset()
    this.#talk = undefined // its end is no failure
    talk?.session.end('another attempt takes its place')
    this.#begin(stream, undefined)
  }

  /** What may be due by now. `isRelayed`: there is nothing better than the relay. */
  handleTick(isRelayed: boolean): void {
    const now = this.#context.now()
    this.#onNetworkSince = undefined
    this.#relayedSince = isRelayed ? (this.#relayedSince ?? now) : undefined
    if (isRelayed) this.#endSilent()
    const isDue = this.#relayedSince !== undefined && now - this.#relayedSince >= UDP_CHANCE_MS
    if (isDue && !this.isOpen && !this.#websocket.isDialing) void this.connect()
    this.#websocket.dialIfDue()
  }

  /** An endpoint of the network is in use, which nothing of ours is preferred to: after a while we let go. */
  handleNetworkPath(): void {
    const now = this.#context.now()
    this.#relayedSince = undefined
    this.#onNetworkSince ??= now
    if (now - this.#onNetworkSince < STANDBY_MS) return
    this.#talk?.session.end('')
    this.#websocket.rest()
  }

  /** What says that it is open, while the relay has to do its work, is tried anew. */
  #endSilent(): void {
    const talk = this.#talk
    if (talk?.offered?.isSilent === true) talk.session.end('nothing came through it any more')
    this.#websocket.endSilent()
  }

  /** The network changed, or the machine slept. */
  retrySoon(): void {
    this.#failures = 0
    this.#nextTryAt = 0
    this.#websocket.retrySoon()
  }

  adopt(socket: WebSocketLike): void {
    this.#websocket.adopt(socket)
  }

  close(reason: string): void {
    this.#talk?.session.end(reason)
    this.#websocket.close(reason)
  }

  #begin(stream: PilotConnection, sessionId: string | undefined): void {
    const { crypto, identity, machine, node } = this.#context
    const peerKey = machine.peers.get(this.peerId)?.identityKey
    if (peerKey === undefined) return stream.reset()
    const session: PathSession = new PathSession({
      crypto,
      identity,
      nodeId: node.nodeId,
      peerId: this.peerId,
      peerKey,
      stream,
      session: sessionId,
      onbody: (body) => this.#handle(talk, body),
      onend: (reason) => this.#ended(talk, reason),
    })
    const silence = setTimeout(() => {
      if (!talk.hasHeard) session.end('the peer says nothing')
    }, SILENT_MS)
    const talk: Talk = {
      session,
      hasRtc: this.#context.createConnection !== undefined,
      rtc: undefined,
      offered: undefined,
      hasHeard: false,
      silence,
    }
    this.#talk = talk
    this.#talks++
    if (!session.isInitiator) return
    this.#makeRtc(talk) // its offer follows what is said now
    this.#sayPaths(talk)
  }

  #sayPaths({ session, hasRtc }: Talk): void {
    session.say({ kind: 'paths', webrtc: hasRtc, websocket: this.#context.door?.urls ?? [] })
  }

  async #handle(talk: Talk, body: SignalBody): Promise<void> {
    const isFirst = !talk.hasHeard
    talk.hasHeard = true
    // Each time its URLs would be dialed at once.
    if (body.kind === 'paths' && !isFirst)
      return talk.session.end('the peer said more than once what paths it has')
    if (isFirst && !talk.session.isInitiator) {
      if (body.kind !== 'paths' || body.webrtc) this.#makeRtc(talk)
      this.#sayPaths(talk)
    }
    if (body.kind === 'paths') this.#handlePaths(talk, body)
    else await talk.rtc?.handle(body)
  }

  #handlePaths(talk: Talk, { webrtc, websocket }: SignalBody & { readonly kind: 'paths' }): void {
    const { createConnection, door, machine, node } = this.#context
    const peerKey = machine.peers.get(this.peerId)?.identityKey
    const hasDoor = (door?.urls.length ?? 0) > 0
    // Where both listen the one of the smaller key dials first.
    const isPatient = hasDoor && peerKey !== undefined && yieldsTo(node.publicKey, peerKey)
    if (websocket.length > 0) this.#websocket.handleUrls(websocket, isPatient)
    const { rtc } = talk
    if (webrtc && rtc !== undefined) return
    if (!webrtc && createConnection !== undefined) this.#rtcReason = 'the peer makes no such paths'
    talk.rtc = undefined
    rtc?.end('')
    // All is said.
    if (talk.session.isInitiator) talk.session.end('')
  }

  #makeRtc(talk: Talk): void {
    const { createConnection } = this.#context
    if (createConnection === undefined || talk.rtc !== undefined) return
    try {
      talk.rtc = this.#newRtc(talk, createConnection)
    } catch (error) {
      // A browser that was told to have none, or that has too many.
      talk.hasRtc = false
      this.#rtcReason = error instanceof Error ? error.message : String(error)
    }
  }

  #newRtc(talk: Talk, createConnection: MakePeerConnection): RtcPath {
    const { session } = talk
    const rtc: RtcPath = new RtcPath({
      createConnection,
      isInitiator: session.isInitiator,
      say: (body) => session.say(body),
      later: (work) => session.later(work),
      onopen: () => {
        this.#failures = 0
        this.#rtcReason = ''
        talk.offered = new OfferedPath(this.#context, this.peerId, 'webrtc', rtc)
      },
      onframe: (frame) => talk.offered?.deliver(frame),
      onend: (reason) => {
        if (talk.rtc === rtc) session.end(reason)
      },
    })
    return rtc
  }

  #ended(talk: Talk, reason: string): void {
    clearTimeout(talk.silence)
    const { rtc, offered } = talk
    talk.rtc = undefined
    rtc?.end(reason)
    talk.offered = undefined
    offered?.withdraw()
    if (this.#talk !== talk) return
    this.#talk = undefined
    // The peer began it and let it go before a word: it had taken a talk of ours meanwhile.
    if (reason === STREAM_LOST && !talk.hasHeard && !talk.session.isInitiator) return
    this.#failed(reason === '' ? this.#rtcReason : reason)
  }

  #failed(reason: string): void {
    const wait = Math.min(RETRY_MS * 2 ** this.#failures, RETRY_MAX_MS)
    this.#failures = Math.min(this.#failures + 1, 16)
    this.#rtcReason = reason
    this.#nextTryAt = this.#context.now() + wait
  }
}

/** Of two attempts at once the one of the smaller public key goes on. */
export function yieldsTo(own: Uint8Array, peer: Uint8Array): boolean {
  for (let i = 0; i < own.length; i++) if (own[i] !== peer[i]) return own[i]! > peer[i]!
  return false
}
