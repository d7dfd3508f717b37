/** Datagrams to and from a node that lives elsewhere: bounded by what the host has taken. */

import { DATAGRAM_PAYLOAD_MAX } from '../../../core/constants.ts'
import { UsageError } from '../../../core/errors.ts'
import type { SocketAddress } from '../../../core/wire/address.ts'
import type { PilotDatagram } from '../api.ts'
import {
  DATAGRAM_BYTES_MAX,
  DATAGRAMS_MAX,
  isSocketAddress,
  type ToHost,
} from './remote-message.ts'

export class RemoteDatagrams {
  readonly #post: (message: ToHost, transfer?: Transferable[]) => void
  readonly #subscribers = new Set<(datagram: PilotDatagram) => void>()
  /** Sent, and not taken by the host yet. */
  #pending = 0
  #pendingBytes = 0

  constructor(post: (message: ToHost, transfer?: Transferable[]) => void) {
    this.#post = post
  }

  /** What can be refused at once. @throws {UsageError} `ERR_INVALID_ARGUMENT`, `ERR_DIAL_SELF`. */
  check(to: SocketAddress, data: Uint8Array, nodeId: number): void {
    if (!isSocketAddress(to))
      throw new UsageError('ERR_INVALID_ARGUMENT', 'not the address of a datagram socket')
    if (to.address.node === nodeId)
      throw new UsageError('ERR_DIAL_SELF', 'a datagram to our own address')
    if (data.length < 1 || data.length > DATAGRAM_PAYLOAD_MAX)
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        `a datagram has 1 to ${DATAGRAM_PAYLOAD_MAX} bytes, got ${data.length}`,
      )
  }

  /** @throws {UsageError} `ERR_LIMIT`. */
  send(to: SocketAddress, data: Uint8Array): void {
    if (this.#pending >= DATAGRAMS_MAX || this.#pendingBytes + data.length > DATAGRAM_BYTES_MAX)
      throw new UsageError('ERR_LIMIT', `more than ${DATAGRAMS_MAX} datagrams wait for the engine`)
    this.#pending++
    this.#pendingBytes += data.length
    const { network, node } = to.address
    const copy = data.slice()
    const target = { address: { network, node }, port: to.port }
    this.#post({ type: 'datagram', to: target, data: copy }, [copy.buffer])
  }

  subscribe(listener: (datagram: PilotDatagram) => void): () => void {
    this.#subscribers.add(listener)
    if (this.#subscribers.size === 1) this.#tell()
    return () => {
      if (this.#subscribers.delete(listener) && this.#subscribers.size === 0) this.#tell()
    }
  }

  handleTaken(count: number, bytes: number): void {
    this.#pending = Math.max(0, this.#pending - count)
    this.#pendingBytes = Math.max(0, this.#pendingBytes - bytes)
  }

  deliver({ source, destinationPort, data }: PilotDatagram): void {
    this.#post({ type: 'taken', count: 1, bytes: data.length })
    for (const subscriber of [...this.#subscribers]) subscriber({ source, destinationPort, data })
  }

  /** There is a new host, which knows of nothing. */
  begin(): void {
    this.#pending = 0
    this.#pendingBytes = 0
    if (this.#subscribers.size > 0) this.#tell()
  }

  #tell(): void {
    this.#post({ type: 'subscribe', datagrams: this.#subscribers.size > 0 })
  }
}
