/** What our secure channel asks of a node, done by a daemon of any generation through its socket. */
import { NetworkError } from '../../core/errors.ts'
import type { SocketAddress } from '../../core/index.ts'
import { DaemonClient } from '../../runtimes/node/ipc/client.ts'
import type { DaemonConnection } from '../../runtimes/node/ipc/client-connection.ts'
import type { DaemonListener } from '../../runtimes/node/ipc/client-listener.ts'
import type { PilotConnection, PilotNode } from '../../runtimes/shared/api.ts'

/** Bytes that the daemon has not taken yet, above which `write` takes none. */
const UNSENT_BYTES_MAX = 64 * 1024

/** A stream through the daemon under the contract of a node's own. */
class BorrowedStream {
  readonly closed: Promise<void>
  onreadable: (() => void) | undefined
  onwritable: (() => void) | undefined
  readonly #connection: DaemonConnection
  readonly #chunks: Uint8Array[] = []
  #hasEnded = false
  #unsent = 0
  #writing: Promise<void> = Promise.resolve()

  constructor(connection: DaemonConnection) {
    this.#connection = connection
    this.closed = this.#pump()
    this.closed.catch(() => {})
  }

  get remote(): SocketAddress {
    return this.#connection.remote
  }
  get ended(): boolean {
    return this.#hasEnded && this.#chunks.length === 0
  }

  read(): Uint8Array | undefined {
    return this.#chunks.shift()
  }

  write(data: Uint8Array): number {
    if (this.#hasEnded) throw new NetworkError('ERR_CONNECTION_CLOSED', 'connection closed')
    const piece = data.slice(0, UNSENT_BYTES_MAX - this.#unsent)
    if (piece.length === 0) return 0
    this.#unsent += piece.length
    const done = (): void => {
      this.#unsent -= piece.length
      this.onwritable?.()
    }
    this.#writing = this.#writing.then(() => this.#connection.write(piece)).then(done, done)
    return piece.length
  }

  close(): void {
    void this.#writing.then(() => this.#connection.close())
  }
  reset(): void {
    this.#connection.close()
  }

  async #pump(): Promise<void> {
    try {
      for await (const chunk of this.#connection) {
        this.#chunks.push(chunk)
        this.onreadable?.()
      }
    } finally {
      this.#hasEnded = true
      this.onreadable?.()
    }
  }
}

export function borrow(connection: DaemonConnection): PilotConnection {
  return new BorrowedStream(connection) as unknown as PilotConnection
}

/** The part of a node that the secure channel uses; keys are those the registry has, told by `keyOf`. */
export class DaemonNode implements AsyncDisposable {
  readonly node: PilotNode
  readonly #client: DaemonClient

  private constructor(client: DaemonClient, nodeId: number, keyOf: KeyOf) {
    this.#client = client
    this.node = {
      nodeId,
      dial: async (to: SocketAddress) => borrow(await client.dial(to)),
      trust: { trusted: () => [] },
      registry: { lookup: async (id: number) => ({ public_key: await keyOf(id) }) },
    } as unknown as PilotNode
  }

  static async connect(socketPath: string, nodeId: number, keyOf: KeyOf): Promise<DaemonNode> {
    return new DaemonNode(await DaemonClient.connect(socketPath), nodeId, keyOf)
  }

  listen(port: number): Promise<DaemonListener> {
    return this.#client.listen(port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close()
  }
}

/** Base64 of a node's Ed25519 key. */
type KeyOf = (nodeId: number) => Promise<string>
