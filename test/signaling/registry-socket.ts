/** A registry client on a real socket, for tests: frames out, answers in, in order. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Identity } from '../../core/identity/identity.ts'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../../core/wire/registry-message.ts'

export class RegistrySocket {
  readonly socket: Socket
  readonly #decoder = new RegistryFrameDecoder()
  readonly #waiting: ((reply: RegistryMessage | undefined) => void)[] = []
  readonly #replies: RegistryMessage[] = []
  /** Settles when the connection is gone. */
  readonly closed: Promise<void>

  private constructor(socket: Socket) {
    this.socket = socket
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      this.#decoder.push(chunk)
      for (;;) {
        const reply = this.#decoder.next()
        if (reply === undefined) break
        const waiting = this.#waiting.shift()
        if (waiting === undefined) this.#replies.push(reply)
        else waiting(reply)
      }
    })
    socket.once('close', () => {
      for (const waiting of this.#waiting.splice(0)) waiting(undefined)
    })
  }

  static async open(
    port: number,
    { tls = false, localAddress = '127.0.0.1' } = {},
  ): Promise<RegistrySocket> {
    const options = { port, host: '127.0.0.1', localAddress }
    const socket = tls
      ? connectTls({ ...options, rejectUnauthorized: false })
      : connect({ ...options, noDelay: true })
    await once(socket, tls ? 'secureConnect' : 'connect')
    return new RegistrySocket(socket)
  }

  /** The next answer, `undefined` when the connection ended instead. */
  receive(): Promise<RegistryMessage | undefined> {
    const reply = this.#replies.shift()
    if (reply !== undefined) return Promise.resolve(reply)
    if (this.socket.destroyed) return Promise.resolve(undefined)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  request(message: RegistryMessage): Promise<RegistryMessage | undefined> {
    this.socket.write(encodeRegistryFrame(message))
    return this.receive()
  }

  register(identity: Identity, fields: RegistryMessage = {}): Promise<RegistryMessage | undefined> {
    return this.request({
      type: 'register',
      public_key: Buffer.from(identity.publicKey).toString('base64'),
      listen_addr: ':4000',
      ...fields,
    })
  }

  /** An operation of this node on itself. */
  signed(
    identity: Identity,
    type: string,
    nodeId: number,
    fields: RegistryMessage = {},
  ): Promise<RegistryMessage | undefined> {
    const signature = identity.signBase64(`${type}:${nodeId}`)
    return this.request({ type, node_id: nodeId, ...fields, signature })
  }

  close(): void {
    this.socket.destroy()
  }
}
