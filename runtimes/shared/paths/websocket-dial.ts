/** One round of dialing a peer's WebSockets: all of its URLs at once, and the first door that speaks is taken. */
import type { Signer } from '../../../core/index.ts'
import type { OpenWebSocket, WebSocketLike } from '../web-socket.ts'
import { PATH_PROTOCOL } from './websocket-address.ts'
import { answerDoor } from './websocket-auth.ts'
import { closeSocket } from './websocket-path.ts'

/** From the names of the hosts to `auth_ok`. */
const ROUND_MS = 10_000

export interface WebSocketDialOptions {
  /** At least one. */
  readonly urls: readonly string[]
  readonly openWebSocket: OpenWebSocket
  readonly identity: Signer
  readonly nodeId: number
  readonly peerId: number
  readonly onopen: (socket: WebSocketLike) => void
  /** No URL led anywhere; not called after `onopen` or `cancel`. */
  readonly onfail: (reason: string) => void
}

export class WebSocketDial {
  readonly #options: WebSocketDialOptions
  readonly #sockets = new Set<WebSocketLike>()
  readonly #reasons: string[] = []
  readonly #timer: ReturnType<typeof setTimeout>
  #chosen: WebSocketLike | undefined
  #isOver = false

  constructor(options: WebSocketDialOptions) {
    this.#options = options
    this.#timer = setTimeout(() => this.#fail(`no answer within ${ROUND_MS / 1000} s`), ROUND_MS)
    for (const url of options.urls) this.#open(url)
    // Told later: whoever made this has not got hold of it yet.
    if (this.#sockets.size === 0) queueMicrotask(() => this.#failedAll())
  }

  cancel(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    for (const socket of this.#sockets) closeSocket(socket)
    this.#sockets.clear()
  }

  #open(url: string): void {
    const { openWebSocket, identity, nodeId, peerId } = this.#options
    let socket: WebSocketLike
    try {
      socket = openWebSocket(url, PATH_PROTOCOL)
    } catch (error) {
      // A page may not open every URL.
      this.#reasons.push(`${url}: ${error instanceof Error ? error.message : String(error)}`)
      return
    }
    socket.binaryType = 'arraybuffer'
    this.#sockets.add(socket)
    answerDoor({
      socket,
      identity,
      nodeId,
      peerId,
      mayProceed: () => this.#chosen === undefined,
      onchallenged: () => {
        this.#chosen = socket
      },
      onopen: () => this.#opened(socket),
      onfail: (reason) => {
        this.#sockets.delete(socket)
        if (this.#chosen === socket) this.#chosen = undefined
        this.#reasons.push(`${url}: ${reason}`)
        if (this.#sockets.size === 0) this.#failedAll()
      },
    })
  }

  #opened(socket: WebSocketLike): void {
    if (this.#isOver) return
    this.#sockets.delete(socket)
    this.cancel()
    this.#options.onopen(socket)
  }

  #failedAll(): void {
    this.#fail(this.#reasons.join(', '))
  }

  #fail(reason: string): void {
    if (this.#isOver) return
    this.cancel()
    this.#options.onfail(reason)
  }
}
