/** Raw bytes on the daemon socket, for tests of the server. */
import { connect, type Socket } from 'node:net'
import { toHex } from '../../../../core/bytes.ts'
import {
  type DaemonMessage,
  decodeDaemonMessage,
} from '../../../../runtimes/node/ipc/daemon-message.ts'
import {
  type DriverMessage,
  encodeDriverMessage,
} from '../../../../runtimes/node/ipc/driver-message.ts'

export class RawClient {
  readonly socket: Socket
  readonly bodies: Uint8Array[] = []
  isClosed = false
  #buffer: Buffer = Buffer.alloc(0)
  #wake: (() => void)[] = []

  constructor(path: string) {
    this.socket = connect(path)
    this.socket.on('data', (chunk) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk])
      while (this.#buffer.length >= 4) {
        const length = this.#buffer.readUInt32BE(0)
        if (this.#buffer.length < 4 + length) break
        this.bodies.push(Uint8Array.from(this.#buffer.subarray(4, 4 + length)))
        this.#buffer = this.#buffer.subarray(4 + length)
      }
      this.#wakeAll()
    })
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.isClosed = true
      this.#wakeAll()
    })
  }

  write(...messages: readonly DriverMessage[]): void {
    for (const message of messages) this.socket.write(encodeDriverMessage(message))
  }

  /** Next message; rejects after 5 s or at the end of the socket. */
  async next(): Promise<DaemonMessage> {
    await this.until(() => this.bodies.length > 0)
    return decodeDaemonMessage(this.bodies.shift()!)
  }

  /** Next message of this type; others before it are dropped. */
  async nextOf<T extends DaemonMessage['type']>(
    type: T,
  ): Promise<Extract<DaemonMessage, { readonly type: T }>> {
    for (;;) {
      const message = await this.next()
      if (message.type === type) return message as Extract<DaemonMessage, { readonly type: T }>
    }
  }

  async until(isTrue: () => boolean): Promise<void> {
    const deadline = performance.now() + 5000
    while (!isTrue()) {
      if (this.isClosed) throw new Error('socket closed')
      if (performance.now() > deadline)
        throw new Error(
          `nothing came; held: ${this.bodies.map((body) => toHex(body.subarray(0, 40)))}`,
        )
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve)
        setTimeout(resolve, 50)
      })
    }
  }

  async closed(): Promise<void> {
    while (!this.isClosed)
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve)
      })
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
