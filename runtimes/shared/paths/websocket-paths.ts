/** The WebSocket to one peer: dialed at what the peer told, or taken at our own door; dialed again while it is wanted. */

import type { WebSocketLike } from '../web-socket.ts'
import { OfferedPath, type PathContext } from './path-context.ts'
import { dialableUrls } from './websocket-address.ts'
import { WebSocketDial } from './websocket-dial.ts'
import { WebSocketPath } from './websocket-path.ts'

/** First wait after a round that failed; doubles to the last. */
const RETRY_MS = 1000
const RETRY_MAX_MS = 60_000
/** Where both listen one is given so much time to dial before the other does. */
const PATIENCE_MS = 3000
/** A path that lived so long makes up for all failures before it. */
const STABLE_MS = 10_000

export class WebSocketPaths {
  /** Why there is none, as far as one was tried. */
  reason = ''
  readonly #context: PathContext
  readonly #peerId: number
  #urls: readonly string[] = []
  #dial: WebSocketDial | undefined
  #current: { readonly path: WebSocketPath; readonly offered: OfferedPath } | undefined
  #openedAt = 0
  #failures = 0
  #nextDialAt = 0
  #patienceMs = 0
  #isClosed = false

  constructor(context: PathContext, peerId: number) {
    this.#context = context
    this.#peerId = peerId
  }

  get isOpen(): boolean {
    return this.#current !== undefined
  }

  get isDialing(): boolean {
    return this.#dial !== undefined
  }

  /** Where the peer takes WebSockets, by its own word: dialed at once, or when it has had time to dial us; old ones are forgotten. */
  handleUrls(urls: readonly string[], isPatient: boolean): void {
    this.#patienceMs = isPatient ? PATIENCE_MS : 0
    this.#urls = dialableUrls(urls, (globalThis as { readonly origin?: string }).origin)
    if (urls.length > 0 && this.#urls.length === 0)
      this.reason = 'a page from https may not open the ws:// URLs of the peer'
    this.#nextDialAt = this.#context.now() + this.#patienceMs
    this.dialIfDue()
  }

  /** Called now and then while the path is wanted. */
  dialIfDue(): void {
    const { openWebSocket, identity, node, now } = this.#context
    if (this.#isClosed || this.#current !== undefined || this.#dial !== undefined) return
    if (openWebSocket === undefined || this.#urls.length === 0 || now() < this.#nextDialAt) return
    this.#dial = new WebSocketDial({
      urls: this.#urls,
      openWebSocket,
      identity,
      nodeId: node.nodeId,
      peerId: this.#peerId,
      onopen: (socket) => {
        this.#dial = undefined
        this.#use(socket, 'dialer')
      },
      onfail: (reason) => {
        this.#dial = undefined
        this.#failed(reason)
      },
    })
  }

  endSilent(): void {
    if (this.#current?.offered.isSilent === true)
      this.#current.path.end('nothing came through it any more')
  }

  /** Not wanted for now: closed, and dialed no more until the peer tells its URLs again. */
  rest(): void {
    this.#urls = []
    this.#dial?.cancel()
    this.#dial = undefined
    this.#current?.path.end('a better path is in use')
    this.reason = ''
  }

  /** The network changed: what failed is tried again at once. */
  retrySoon(): void {
    this.#failures = 0
    this.#nextDialAt = 0
  }

  /** The peer dialed us and has proven who it is; what it had before is replaced. */
  adopt(socket: WebSocketLike): void {
    this.#use(socket, 'door')
  }

  close(reason: string): void {
    this.#isClosed = true
    this.#dial?.cancel()
    this.#dial = undefined
    this.#current?.path.end(reason)
  }

  #use(socket: WebSocketLike, role: 'door' | 'dialer'): void {
    this.#dial?.cancel()
    this.#dial = undefined
    this.#current?.path.end('replaced', 1000)
    this.#openedAt = this.#context.now()
    this.reason = ''
    const path: WebSocketPath = new WebSocketPath({
      socket,
      role,
      onframe: (frame) => this.#receive(path, frame),
      onend: (reason) => this.#ended(path, role, reason),
    })
    const offered = new OfferedPath(this.#context, this.#peerId, 'websocket', path)
    this.#current = { path, offered }
  }

  #receive(path: WebSocketPath, frame: Uint8Array): void {
    if (this.#current?.path === path) this.#current.offered.deliver(frame)
  }

  #ended(path: WebSocketPath, role: 'door' | 'dialer', reason: string): void {
    if (this.#current?.path !== path) return
    const { offered } = this.#current
    this.#current = undefined
    offered.withdraw()
    if (this.#context.now() - this.#openedAt > STABLE_MS) this.#failures = 0
    if (role === 'dialer') this.#failed(reason)
    else this.reason = reason
  }

  #failed(reason: string): void {
    const wait = Math.min(RETRY_MS * 2 ** this.#failures, RETRY_MAX_MS)
    this.#failures = Math.min(this.#failures + 1, 16)
    const waitMs = wait * (1 + Math.random() / 4) + this.#patienceMs
    this.#nextDialAt = this.#context.now() + waitMs
    this.reason = reason
  }
}
