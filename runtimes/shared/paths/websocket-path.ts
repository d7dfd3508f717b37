/** One authenticated WebSocket as a path to one peer, at either end: a tunnel frame per binary message (spec/10 §6.2). */
import { COMPAT_CLOSE } from '../../../core/index.ts'
import type { PathOutlet } from '../path-socket.ts'
import { bytesOf, type WebSocketLike } from '../web-socket.ts'

/** Largest tunnel frame, in bytes. */
export const WEBSOCKET_FRAME_MAX = 61_440
/** Above it the newest frame is dropped; who sends is told long before (`SendGauge`). */
const BUFFERED_MAX = 4 << 20
/** The door speaks so often, and the one who dialed answers: a hidden page's own timers are not to be relied upon. */
const ALIVE_MS = 30_000
/** Silence after which the other end is taken to be gone: three of the door's words. */
const SILENT_MS = 95_000
const ALIVE = '{"type":"alive"}'

export interface WebSocketPathOptions {
  readonly socket: WebSocketLike
  readonly role: 'door' | 'dialer'
  readonly onframe: (frame: Uint8Array) => void
  /** It is over, with the reason; called once. */
  readonly onend: (reason: string) => void
}

export class WebSocketPath implements PathOutlet {
  readonly #options: WebSocketPathOptions
  ondrained: (() => void) | undefined
  readonly #timer: ReturnType<typeof setInterval>
  #heardAt: number = performance.now()
  #isOver = false

  /** The socket is authenticated and open; its handlers are this one's from now on. */
  constructor(options: WebSocketPathOptions) {
    this.#options = options
    const { socket, role } = options
    socket.onmessage = ({ data }) => this.#receive(data)
    socket.onerror = () => {} // `close` follows
    socket.onclose = ({ code, reason }) =>
      this.#over(reason === '' ? `the WebSocket was closed (${code})` : reason)
    this.#timer = setInterval(() => this.#check(role), ALIVE_MS)
  }

  get bufferedAmount(): number {
    return this.#isOver ? 0 : this.#options.socket.bufferedAmount
  }

  /** True when the frame was taken. */
  send(frame: Uint8Array): boolean {
    const { socket } = this.#options
    if (this.#isOver || frame.length > WEBSOCKET_FRAME_MAX) return false
    if (socket.bufferedAmount + frame.length > BUFFERED_MAX) return false
    try {
      socket.send(frame)
      return true
    } catch {
      return false // closing: its event follows
    }
  }

  end(reason: string, code: number = COMPAT_CLOSE.goingAway.code): void {
    if (this.#isOver) return
    const { socket, role } = this.#options
    // A page may say little else than 1000.
    closeSocket(socket, role === 'dialer' ? 1000 : code, reason)
    this.#over(reason)
  }

  #receive(data: unknown): void {
    if (this.#isOver) return
    this.#heardAt = performance.now()
    if (typeof data === 'string') {
      // Other text is reserved.
      if (data === ALIVE && this.#options.role === 'dialer') this.#say()
      return
    }
    const frame = bytesOf(data)
    if (frame === undefined || frame.length === 0) return
    if (frame.length > WEBSOCKET_FRAME_MAX)
      return this.end('a frame was too large', COMPAT_CLOSE.tooLarge.code)
    this.#options.onframe(frame)
  }

  #check(role: 'door' | 'dialer'): void {
    if (performance.now() - this.#heardAt > SILENT_MS) this.end('the WebSocket was silent')
    else if (role === 'door') this.#say()
  }

  #say(): void {
    try {
      this.#options.socket.send(ALIVE)
    } catch {
      // closing: its event follows
    }
  }

  #over(reason: string): void {
    if (this.#isOver) return
    this.#isOver = true
    clearInterval(this.#timer)
    this.#options.onend(reason)
  }
}

/** Whatever it still has to say, nobody listens. */
export function closeSocket(socket: WebSocketLike, code = 1000, reason = ''): void {
  socket.onopen = null
  socket.onmessage = null
  socket.onclose = null
  socket.onerror = () => {} // `ws` throws what nobody handles
  try {
    // A close reason has at most 123 bytes (RFC 6455 §5.5); ours are ASCII.
    socket.close(code, reason.slice(0, 120))
  } catch {
    // it was never open
  }
}
