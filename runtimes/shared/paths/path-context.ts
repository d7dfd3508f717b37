/** What everything that makes direct paths works with. */
import { viewOf } from '../../../core/bytes.ts'
import type { CryptoProvider, Endpoint, NodeMachine, Signer } from '../../../core/index.ts'
import { classifyFrame } from '../../../core/wire/frame.ts'
import type { PilotNode } from '../api.ts'
import type { PathOutlet, PathSocket } from '../path-socket.ts'
import type { MakePeerConnection } from '../rtc/peer-connection.ts'
import type { OpenWebSocket, WebSocketLike } from '../web-socket.ts'

/** Takes WebSockets of peers, where a runtime can listen. */
export interface PathDoor {
  /** What peers are told: see `parsePathUrl`. */
  readonly urls: readonly string[]
  /** A WebSocket was opened; whoever is behind it is still to be asked. Unset: it is closed. */
  onsocket: ((socket: WebSocketLike) => void) | undefined
}

export interface PathContext {
  readonly node: PilotNode
  readonly machine: NodeMachine
  readonly socket: PathSocket
  readonly crypto: CryptoProvider
  readonly identity: Signer
  readonly now: () => number
  readonly unixNow: () => number
  /** This node has no endpoint of the network: nothing but the paths made here can be better than the relay. */
  readonly isRelayOnly: boolean
  /** The machine was changed: let the driver drain. */
  readonly schedule: () => void
  /** `undefined`: no WebRTC here. */
  readonly createConnection: MakePeerConnection | undefined
  /** `undefined`: no peer's WebSocket is dialed. */
  readonly openWebSocket: OpenWebSocket | undefined
  /** `undefined`: no WebSockets of peers are taken. */
  readonly door: PathDoor | undefined
}

/** Longer than the time between two probes of a path while the relay is in use. */
const SILENT_MS = 15_000

/** A path to a peer: offered to its machine while it lives. */
export class OfferedPath {
  readonly endpoint: Endpoint
  #heardAt: number
  readonly #context: PathContext
  readonly #peerId: number

  constructor(
    context: PathContext,
    peerId: number,
    kind: 'webrtc' | 'websocket',
    outlet: PathOutlet,
  ) {
    const { machine, socket, now, schedule } = context
    this.#context = context
    this.#peerId = peerId
    this.#heardAt = now()
    this.endpoint = socket.addPath(kind, outlet)
    machine.paths.offer(peerId, this.endpoint, now(), PATH_KINDS[kind])
    schedule()
  }

  /** What is behind the path is this one peer: anything but its own frames is dropped and counted. */
  deliver(frame: Uint8Array): void {
    const { socket, now } = this.#context
    this.#heardAt = now()
    if (frameSender(frame) === this.#peerId) socket.deliver(frame, this.endpoint)
    else socket.dropForeign()
  }

  /** Open by its own account, but nothing comes: probes of either side would have passed by now. */
  get isSilent(): boolean {
    return this.#context.now() - this.#heardAt > SILENT_MS
  }

  withdraw(): void {
    const { machine, socket, now, schedule } = this.#context
    socket.removePath(this.endpoint)
    machine.paths.withdraw(this.#peerId, this.endpoint, now())
    schedule()
  }
}

/** Node id in a sealed frame or a key exchange, `undefined` for everything else (spec/01 §4). */
function frameSender(frame: Uint8Array): number | undefined {
  if (frame.length < 8) return undefined
  const kind = classifyFrame(frame)
  return kind === 'sealed' || kind === 'key-exchange' ? viewOf(frame).getUint32(4) : undefined
}

/** An endpoint of the network is preferred to both, and a WebSocket to a channel, which is slower and never loses less. */
const PATH_KINDS = {
  webrtc: { frameBytesMax: 16_384, rank: 1 },
  websocket: { frameBytesMax: 61_440, rank: 2 },
} as const
