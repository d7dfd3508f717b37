/**
 * Driver of a daemon's socket, for our command line and for programs beside a daemon. Works against
 * our daemon and the Go ones: one request is outstanding at a time, because replies carry no request
 * id and the lines differ in the order of concurrent ones (spec/06 §3).
 */
import { connect, type Socket } from 'node:net'
import { concat } from '../../../core/bytes.ts'
import { NetworkError, PilotError } from '../../../core/errors.ts'
import type { SocketAddress } from '../../../core/wire/address.ts'
import { aborted, type ConnectionLink, DaemonConnection } from './client-connection.ts'
import { DaemonListener } from './client-listener.ts'
import { type DaemonMessage, decodeDaemonMessage } from './daemon-message.ts'
import { type DriverMessage, encodeDriverMessage, encodeStreamHeader } from './driver-message.ts'
import { FrameDecoder } from './frame.ts'
import { OP } from './opcode.ts'

/** A JSON reply; members as in spec/06 §5 and §6. */
export type DaemonReply = Record<string, unknown>

export interface DaemonDatagram {
  readonly source: SocketAddress
  readonly destinationPort: number
  readonly data: Uint8Array
}

export interface CallOptions {
  readonly signal?: AbortSignal
}

/**
 * Unread bytes over all connections above which the socket is paused, and everything behind it waits. With credits
 * each connection has a window of its own, so that it takes many that are not read.
 */
const UNREAD_BYTES_MAX = 8 * 1024 * 1024
const UNREAD_FLOW_BYTES_MAX = 64 * 1024 * 1024
/** Up to this a Send is written as one piece. */
const JOINED_BYTES_MAX = 4096
/** Errors that base and v1.9 send for a failed Send or SendTo, which belong to no request (spec/06 §13). */
const STRAY_ERROR =
  /^(connection \d+ not found|send: (connection (not established|closed)|missing conn_id)|sendto: )/

interface Waiter {
  readonly message: DriverMessage
  readonly settle: (reply: DaemonMessage | PilotError) => void
}

export class DaemonClient implements ConnectionLink, AsyncDisposable {
  readonly #socket: Socket
  readonly #connections = new Map<number, DaemonConnection>()
  readonly #listeners = new Map<number, DaemonListener>()
  readonly #datagramListeners = new Set<(datagram: DaemonDatagram) => void>()
  readonly #waiting: Waiter[] = []
  #unreadBytes = 0
  #flow: 'unasked' | 'asked' | 'on' | 'refused' = 'unasked'
  #isLost = false

  private constructor(socket: Socket) {
    this.#socket = socket
    const decoder = new FrameDecoder({
      sink: {
        frame: (body) => this.#onFrame(body),
        stream: (id, piece) => this.#connections.get(id)?.receive(piece),
      },
      streamOpcode: OP.recv,
    })
    socket.on('data', (chunk) => {
      try {
        decoder.push(chunk)
      } catch {
        socket.destroy() // not a daemon of this protocol
      }
    })
    socket.on('error', () => {})
    socket.on('close', () => this.#onLost())
  }

  /** @throws {NetworkError} `ERR_DAEMON_UNAVAILABLE`. */
  static connect(path: string): Promise<DaemonClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(path)
      const fail = (error: Error): void => {
        reject(
          new NetworkError(
            'ERR_DAEMON_UNAVAILABLE',
            `no daemon answers on ${path}: ${error.message}`,
            {
              cause: error,
            },
          ),
        )
      }
      socket.once('error', fail)
      socket.once('connect', () => {
        socket.off('error', fail)
        resolve(new DaemonClient(socket))
      })
    })
  }

  /** What was written is sent, then the socket closes; the daemon ends our streams. */
  async close(): Promise<void> {
    if (this.#socket.closed) return
    await new Promise<void>((resolve) => {
      this.#socket.once('close', () => resolve())
      this.#socket.end()
      // The daemon closes its side on ours; one that hangs is not waited for.
      setTimeout(() => this.#socket.destroy(), 1000).unref()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  info(options?: CallOptions): Promise<DaemonReply> {
    return this.requestJson({ type: 'info' }, options)
  }

  /**
   * Sends a request and returns the object of its reply.
   *
   * @throws {NetworkError} `ERR_DAEMON_REFUSED` with the daemon's text as message, `ERR_DAEMON_UNAVAILABLE`,
   * `ERR_ABORTED` (the reply is then awaited and dropped before the next request is sent).
   */
  async requestJson(message: DriverMessage, options?: CallOptions): Promise<DaemonReply> {
    const reply = await this.#request(message, options)
    if (reply.type !== 'json') throw unexpected(reply)
    let value: unknown
    try {
      value = JSON.parse(reply.text)
    } catch (error) {
      throw new NetworkError('ERR_DAEMON_REFUSED', 'the reply is not JSON', { cause: error })
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new NetworkError('ERR_DAEMON_REFUSED', 'the reply is not a JSON object')
    return value as DaemonReply
  }

  /** Opens a stream. An aborted dial that succeeds later is closed at once. */
  async dial(to: SocketAddress, options?: CallOptions): Promise<DaemonConnection> {
    let connection: DaemonConnection | undefined
    const reply = await this.#request({ type: 'dial', to }, options, (message, isAbandoned) => {
      if (message.type !== 'dial-ok') return
      // In this very turn: its first Recv may be the next frame.
      if (isAbandoned) this.sendClose(message.id)
      else connection = this.#open(message.id, to, 0)
    })
    if (connection === undefined) throw unexpected(reply)
    return connection
  }

  /** Binds a port until `close`, or until this client ends. */
  async listen(port: number, options?: CallOptions): Promise<DaemonListener> {
    const listener = new DaemonListener(port, () => {
      this.#listeners.delete(port)
      // Base daemons do not know it and keep the port until we disconnect.
      void this.#request({ type: 'unbind', port, dialect: 'v1.9' }).catch(() => {})
    })
    const reply = await this.#request({ type: 'bind', port }, options, (message) => {
      if (message.type === 'bind-ok') this.#listeners.set(port, listener)
    })
    if (reply.type !== 'bind-ok') throw unexpected(reply)
    return listener
  }

  /** Hands over one datagram; nothing tells whether it was sent. */
  sendTo(to: SocketAddress, data: Uint8Array): void {
    this.#socket.write(encodeDriverMessage({ type: 'send-to', to, data }))
  }

  /** Resolves when the datagram went into a tunnel to the peer. Daemons of base and v1.9 refuse it. */
  async sendToConfirm(to: SocketAddress, data: Uint8Array, options?: CallOptions): Promise<void> {
    await this.#request({ type: 'send-to-confirm', to, data }, options)
  }

  /** One datagram for each other member of a network. @throws {NetworkError} as `requestJson`. */
  async broadcast(
    message: Omit<Extract<DriverMessage, { readonly type: 'broadcast' }>, 'type'>,
    options?: CallOptions,
  ): Promise<void> {
    await this.#request({ type: 'broadcast', ...message }, options)
  }

  /** Every datagram this node receives. Returns the function that unsubscribes. */
  onDatagram(listener: (datagram: DaemonDatagram) => void): () => void {
    this.#datagramListeners.add(listener)
    return () => this.#datagramListeners.delete(listener)
  }

  /** Closes any connection of the daemon; does not wait (base daemons never confirm to the caller). */
  closeConnection(id: number): void {
    this.sendClose(id)
  }

  async resolveHostname(
    hostname: string,
  ): Promise<{ nodeId: number; address: string; isPublic: boolean }> {
    const reply = await this.requestJson({ type: 'resolve-hostname', hostname })
    if (typeof reply.node_id !== 'number' || typeof reply.address !== 'string')
      throw new NetworkError('ERR_DAEMON_REFUSED', 'the reply names no node')
    return {
      nodeId: reply.node_id,
      address: reply.address,
      isPublic: reply.public === true,
    }
  }

  /** Called once when the daemon goes away. */
  onLost(listener: () => void): void {
    this.#socket.once('close', listener)
  }

  get isConnected(): boolean {
    return !this.#isLost
  }

  // ConnectionLink

  get hasFlow(): boolean {
    return this.#flow === 'on'
  }

  get isFlowAsked(): boolean {
    return this.#flow === 'asked' && this.#waiting[0]?.message.type === 'flow'
  }

  askFlow(): void {
    if (this.#flow !== 'unasked') return
    this.#flow = 'asked'
    // Others than ours do not know it: then the socket is paused where a connection waits, as it always was.
    this.#request({ type: 'flow' }, {}, (reply) => {
      if (reply.type !== 'empty') return
      this.#flow = 'on'
      for (const connection of this.#connections.values()) connection.tellCredit()
    }).catch(() => {
      this.#flow = 'refused'
      for (const connection of this.#connections.values()) connection.handleCredit(0)
    })
  }

  send(id: number, data: Uint8Array): Promise<void> | undefined {
    if (this.#isLost) throw lost()
    const socket = this.#socket
    const header = encodeStreamHeader(OP.send, id, data.length)
    let isDone = false
    let settle: (() => void) | undefined
    const done = (): void => {
      isDone = true
      settle?.()
    }
    if (data.length <= JOINED_BYTES_MAX) {
      const frame = concat(header, data) // the socket may keep it: nobody need wait
      if (socket.write(frame)) return undefined
      return new Promise((resolve) => socket.write(EMPTY, () => resolve()))
    }
    socket.cork()
    socket.write(header)
    socket.write(data, done)
    socket.uncork()
    if (socket.writableLength === 0 || isDone) return undefined
    return new Promise((resolve) => {
      settle = resolve
      if (isDone) resolve()
    })
  }

  sendCredit(id: number, total: number): void {
    if (!this.#isLost) this.#socket.write(encodeDriverMessage({ type: 'credit', id, total }))
  }

  sendClose(id: number): void {
    this.#connections.delete(id)
    if (!this.#isLost) this.#socket.write(encodeDriverMessage({ type: 'close', id }))
  }

  countUnread(delta: number): void {
    this.#unreadBytes += delta
    const max = this.#flow === 'on' ? UNREAD_FLOW_BYTES_MAX : UNREAD_BYTES_MAX
    if (this.#unreadBytes > max) this.#socket.pause()
    else if (this.#socket.isPaused()) this.#socket.resume()
  }

  #open(id: number, remote: SocketAddress, localPort: number): DaemonConnection {
    const connection = new DaemonConnection(this, id, remote, localPort)
    this.#connections.set(id, connection)
    return connection
  }

  /** `onReply` runs in the turn of the reply, before any later frame is looked at. */
  #request(
    message: DriverMessage,
    options?: CallOptions,
    onReply?: (reply: DaemonMessage, isAbandoned: boolean) => void,
  ): Promise<DaemonMessage> {
    const signal = options?.signal
    return new Promise((resolve, reject) => {
      if (this.#isLost) return reject(lost())
      if (signal?.aborted) return reject(aborted(signal))
      let isAbandoned = false
      const onAbort = (): void => {
        isAbandoned = true
        const at = this.#waiting.findIndex((waiter) => waiter.settle === settle)
        if (at > 0) this.#waiting.splice(at, 1) // not sent yet
        reject(aborted(signal!))
      }
      const settle = (reply: DaemonMessage | PilotError): void => {
        signal?.removeEventListener('abort', onAbort)
        if (reply instanceof PilotError) {
          reject(reply)
          return
        }
        onReply?.(reply, isAbandoned)
        if (reply.type === 'error')
          reject(
            new NetworkError('ERR_DAEMON_REFUSED', reply.text === '' ? 'daemon error' : reply.text),
          )
        else resolve(reply)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiting.push({ message, settle })
      if (this.#waiting.length === 1) this.#sendNext()
    })
  }

  #sendNext(): void {
    const next = this.#waiting[0]
    if (next !== undefined) this.#socket.write(encodeDriverMessage(next.message))
  }

  #onFrame(body: Uint8Array): void {
    let message: DaemonMessage
    try {
      message = decodeDaemonMessage(body)
    } catch {
      return // cut short: ignored, as the base driver does
    }
    switch (message.type) {
      case 'accept': {
        const listener = this.#listeners.get(message.localPort)
        const connection = this.#open(message.id, message.remote, message.localPort)
        if (listener === undefined) connection.close()
        else listener.push(connection)
        break
      }
      case 'recv':
        break // comes through the stream path; without data it says nothing
      case 'credit':
        this.#connections.get(message.id)?.handleCredit(message.total)
        break
      case 'close-ok':
        this.#connections.get(message.id)?.finish('ended')
        this.#connections.delete(message.id)
        break
      case 'recv-from':
        for (const listener of this.#datagramListeners)
          listener({ ...message, data: message.data.slice() })
        break
      case 'unknown':
      // Pushed by v1.9 without being asked.
      case 'send-result':
      case 'tracked-result':
      case 'notify':
        break
      case 'error':
        if (!this.#isStray(message.text)) this.#onReply(message)
        break
      default:
        this.#onReply(message)
    }
  }

  /** The answer to SendToConfirm begins as the stray one to SendTo does. */
  #isStray(text: string): boolean {
    return STRAY_ERROR.test(text) && this.#waiting[0]?.message.type !== 'send-to-confirm'
  }

  #onReply(reply: DaemonMessage): void {
    const waiter = this.#waiting.shift()
    if (waiter === undefined) return
    waiter.settle(reply)
    this.#sendNext()
  }

  #onLost(): void {
    this.#isLost = true
    for (const connection of this.#connections.values()) connection.finish('lost')
    this.#connections.clear()
    for (const listener of this.#listeners.values()) listener.end()
    this.#listeners.clear()
    for (const waiter of this.#waiting.splice(0)) waiter.settle(lost())
  }
}

function lost(): NetworkError {
  return new NetworkError('ERR_DAEMON_UNAVAILABLE', 'daemon disconnected')
}

function unexpected(reply: DaemonMessage): NetworkError {
  return new NetworkError('ERR_DAEMON_REFUSED', `unexpected reply of type ${reply.type}`)
}

const EMPTY = new Uint8Array(0)
