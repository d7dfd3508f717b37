/**
 * A UDP man in the middle around one daemon: a NAT on the way to the beacon and from everybody else. It
 * records what passes, damages a little of it, and can speak to the daemon from the beacon's address and
 * from those of its peers.
 */
import { createSocket, type Socket } from 'node:dgram'
import type { Endpoint } from '../../core/index.ts'
import type { Random } from '../sim/random.ts'

export interface Recorded {
  readonly datagram: Uint8Array
  readonly isToDaemon: boolean
}

const RECORDED_MAX = 4096
const REMOTES_MAX = 64
/** Of what passes: lost, sent twice, sent with a wrong bit. */
const LOST = 0.002
const TWICE = 0.005
const DAMAGED = 0.002

export class Middle {
  readonly recorded: Recorded[] = []
  readonly #random: Random
  /** What the world sees of the daemon. */
  readonly #outer: Socket
  /** What the daemon sees of each remote endpoint, by its text. */
  readonly #inner = new Map<string, Socket>()
  readonly #beacon: Endpoint
  /** Where the daemon's own socket is; known from its first datagram. */
  #daemon: Endpoint | undefined
  #recordedAt = 0
  isDamaging = false

  private constructor(random: Random, beacon: Endpoint, outer: Socket) {
    this.#random = random
    this.#beacon = beacon
    this.#outer = outer
    outer.on('message', (datagram, from) => void this.#inbound(datagram, from))
    outer.on('error', () => {})
  }

  static async create(random: Random, beacon: Endpoint): Promise<Middle> {
    const middle = new Middle(random, beacon, await bound('127.0.0.1'))
    await middle.#innerOf(beacon)
    return middle
  }

  /** What the daemon is to take for its beacon. */
  async beaconFace(): Promise<string> {
    const { address, port } = (await this.#innerOf(this.#beacon))!.address()
    return `${address}:${port}`
  }

  /** The daemon's own UDP socket. */
  get daemon(): Endpoint | undefined {
    return this.#daemon
  }

  /** To the daemon, from the beacon's address. */
  sendAsBeacon(datagram: Uint8Array): void {
    this.#sendInner(this.#inner.get(keyOf(this.#beacon)), datagram)
  }

  /** To the daemon, from the address of a peer it heard. */
  sendAsPeer(datagram: Uint8Array): void {
    const peers = [...this.#inner.entries()].filter(([key]) => key !== keyOf(this.#beacon))
    if (peers.length > 0)
      this.#sendInner(peers[this.#random.int(0, peers.length - 1)]![1], datagram)
  }

  async close(): Promise<void> {
    for (const socket of [this.#outer, ...this.#inner.values()])
      await new Promise<void>((resolve) => socket.close(() => resolve()))
  }

  async #inbound(datagram: Uint8Array, from: Endpoint): Promise<void> {
    const inner = await this.#innerOf(from)
    this.#record(datagram, true)
    for (const one of this.#damage(datagram)) this.#sendInner(inner, one)
  }

  #outbound(datagram: Uint8Array, to: Endpoint): void {
    this.#record(datagram, false)
    for (const one of this.#damage(datagram)) this.#outer.send(one, to.port, to.address, ignore)
  }

  #sendInner(inner: Socket | undefined, datagram: Uint8Array): void {
    if (this.#daemon !== undefined)
      inner?.send(datagram, this.#daemon.port, this.#daemon.address, ignore)
  }

  /** `undefined` when there are too many. */
  async #innerOf(remote: Endpoint): Promise<Socket | undefined> {
    const key = keyOf(remote)
    const known = this.#inner.get(key)
    if (known !== undefined) return known
    if (this.#inner.size >= REMOTES_MAX) return undefined
    const socket = await bound('127.0.0.1')
    const raced = this.#inner.get(key)
    if (raced !== undefined) {
      socket.close()
      return raced
    }
    this.#inner.set(key, socket)
    socket.on('message', (datagram, { address, port }) => {
      this.#daemon ??= { address, port }
      // Only the daemon speaks here; attackers who find the port are not let out.
      if (port === this.#daemon.port) this.#outbound(datagram, remote)
    })
    socket.on('error', () => {})
    return socket
  }

  #record(datagram: Uint8Array, isToDaemon: boolean): void {
    this.recorded[this.#recordedAt++ % RECORDED_MAX] = { datagram: datagram.slice(), isToDaemon }
  }

  #damage(datagram: Uint8Array): Uint8Array[] {
    if (!this.isDamaging) return [datagram]
    const draw = this.#random.next()
    if (draw < LOST) return []
    if (draw < LOST + TWICE) return [datagram, datagram]
    if (draw < LOST + TWICE + DAMAGED) {
      const copy = datagram.slice()
      copy[this.#random.int(0, copy.length - 1)]! ^= 1 << this.#random.int(0, 7)
      return [copy]
    }
    return [datagram]
  }
}

export async function bound(address: string): Promise<Socket> {
  const socket = createSocket({
    type: 'udp4',
    recvBufferSize: 4 << 20,
    lookup: (host, _options, callback) => callback(null, host, 4),
  })
  await new Promise<void>((resolve) => socket.bind({ address, port: 0 }, () => resolve()))
  return socket
}

/** A UDP send that fails is a datagram lost. */
export function ignore(): void {}

function keyOf({ address, port }: Endpoint): string {
  return `${address}:${port}`
}
