/**
 * Seals and opens at the edge of the machine, for platforms whose AES-GCM answers later (WebCrypto). Strictly
 * in order in both directions; nothing leaves before its seal is done.
 */
import { EdgeAead, type Endpoint, type NodeMachine, type Transmit } from '../../core/index.ts'
import { InOrder } from './in-order.ts'
import type { DatagramSocket } from './transport.ts'

const INBOUND_MAX = 4096
const OUTBOUND_MAX = 8192

interface Opened {
  readonly aead: EdgeAead
  readonly plaintext: Uint8Array
}

export interface CryptoEdgeOptions {
  readonly machine: NodeMachine
  readonly socket: DatagramSocket
  readonly now: () => number
  /** Datagrams were handled: let the driver drain. */
  readonly handled: () => void
}

export class CryptoEdge {
  /** Datagrams dropped because too many waited. */
  dropped = 0
  readonly #options: CryptoEdgeOptions
  readonly #inbound: InOrder<Opened>
  readonly #outbound: InOrder<Uint8Array>

  constructor(options: CryptoEdgeOptions) {
    this.#options = options
    this.#inbound = new InOrder(INBOUND_MAX, options.handled)
    this.#outbound = new InOrder(OUTBOUND_MAX, () => {})
  }

  receive(datagram: Uint8Array, from: Endpoint): void {
    const { machine, now, handled } = this.#options
    const sealed = machine.openAttempts(datagram)
    if (sealed === undefined && this.#inbound.isEmpty) {
      machine.handleDatagram(datagram, from, now())
      return handled()
    }
    const work = sealed === undefined ? Promise.resolve(undefined) : open(sealed)
    const isTaken = this.#inbound.push(work, (opened) => {
      if (sealed !== undefined) opened?.aead.putReady(sealed.nonce, opened.plaintext)
      machine.handleDatagram(datagram, from, now())
    })
    if (!isTaken) this.dropped++
  }

  /** `buffer[start..end)` is the datagram, in the clear where `transmit.seal` says so. */
  send(buffer: Uint8Array, { to, start, end, seal }: Transmit): void {
    const { socket } = this.#options
    const datagram = buffer.subarray(start, end)
    if (seal === undefined && this.#outbound.isEmpty) {
      socket.send(datagram, to)
      return
    }
    const work =
      seal === undefined
        ? Promise.resolve(datagram)
        : seal.aead.seal(seal.nonce, seal.aad, buffer.subarray(seal.start, end - 16))
    const bytes = datagram.length
    socket.announce?.(to, bytes)
    const isTaken = this.#outbound.push(work, (sealed) => {
      socket.announce?.(to, -bytes)
      if (sealed === undefined) return // what could not be sealed does not leave
      if (seal !== undefined) buffer.set(sealed, seal.start)
      socket.send(datagram, to)
    })
    if (isTaken) return
    socket.announce?.(to, -bytes)
    this.dropped++
  }
}

async function open({
  nonce,
  ciphertext,
  attempts,
}: NonNullable<ReturnType<NodeMachine['openAttempts']>>): Promise<Opened | undefined> {
  for (const { aead, aad } of attempts)
    if (aead instanceof EdgeAead) {
      const plaintext = await aead.later.open(nonce, aad, ciphertext)
      if (plaintext !== undefined) return { aead, plaintext }
    }
  return undefined
}
