/**
 * Datagrams of one size to one endpoint, handed to the kernel at once (`UDP_SEGMENT`) and taken from it at once
 * (`UDP_GRO`): on the wire they are as always. Linux on 64 bits.
 */
import { isIPv6 } from 'node:net'
import type { Endpoint } from '../../../core/index.ts'
import { ipBytes } from '../../../core/ip.ts'

/** Memory that stays where it is. */
export interface NativeMemory {
  readonly pointer: unknown
  readonly address: bigint
  readonly bytes: Uint8Array
  /** Gives it back; `bytes` must not be touched any more. */
  readonly free: () => void
}

export interface DatagramBatchCalls {
  readonly allocate: (bytes: number) => NativeMemory
  /** Bytes sent, or -1. */
  readonly sendmsg: (descriptor: number, message: unknown, flags: number) => number
  readonly sendto: (
    descriptor: number,
    data: Uint8Array,
    bytes: number,
    flags: number,
    to: Uint8Array,
    toBytes: number,
  ) => number
  /** 0, or -1. */
  readonly setsockopt: (
    descriptor: number,
    level: number,
    option: number,
    value: Int32Array,
    bytes: number,
  ) => number
}

const SOL_UDP = 17
const UDP_SEGMENT = 103
const UDP_GRO = 104
const MSG_DONTWAIT = 0x40
const AF_INET = 2
const AF_INET6 = 10

/** `UDP_MAX_SEGMENTS` of older kernels, and what fits one IP packet. */
const COUNT_MAX = 64
const BATCH_BYTES = 65_000
/** A larger one is sent alone: copying it costs more than a call. */
const BATCHED_BYTES_MAX = 8192
const ADDRESSES_MAX = 4096

/** Where things stand in the memory of a batch, which begins with the `msghdr`. */
const AT = { name: 64, vector: 96, control: 112, data: 160 } as const
const MSGHDR = {
  name: 0,
  nameBytes: 8,
  vector: 16,
  vectorCount: 24,
  control: 32,
  controlBytes: 40,
} as const
/** `CMSG_LEN(2)` and `CMSG_SPACE(2)`. */
const CMSG_BYTES = { length: 18n, space: 24n } as const

/** Sends a datagram in the ordinary way. True when its bytes may be used again. */
export type SendAlone = (datagram: Uint8Array, to: Endpoint) => boolean

export class DatagramBatch {
  readonly #calls: DatagramBatchCalls
  readonly #descriptor: number
  readonly #memory: NativeMemory
  readonly #view: DataView
  #addresses = new Map<Endpoint, Uint8Array>()
  #to: Endpoint | undefined
  #segmentBytes = 0
  #bytes = 0
  #count = 0
  /** The last one was shorter than the others: only the end of a batch may be. */
  #isClosed = false

  private constructor(calls: DatagramBatchCalls, descriptor: number) {
    this.#calls = calls
    this.#descriptor = descriptor
    this.#memory = calls.allocate(AT.data + BATCH_BYTES)
    const { address, bytes } = this.#memory
    bytes.fill(0, 0, AT.data)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#view = view
    view.setBigUint64(MSGHDR.name, address + BigInt(AT.name), true)
    view.setBigUint64(MSGHDR.vector, address + BigInt(AT.vector), true)
    view.setBigUint64(MSGHDR.vectorCount, 1n, true)
    view.setBigUint64(AT.vector, address + BigInt(AT.data), true)
    view.setBigUint64(AT.control, CMSG_BYTES.length, true)
    view.setInt32(AT.control + 8, SOL_UDP, true)
    view.setInt32(AT.control + 12, UDP_SEGMENT, true)
  }

  /** `undefined` when the kernel does not know such batches. */
  static open(calls: DatagramBatchCalls, descriptor: number): DatagramBatch | undefined {
    // Asking for 0 sets nothing, and fails where the option is not known.
    const none = new Int32Array([0])
    if (calls.setsockopt(descriptor, SOL_UDP, UDP_SEGMENT, none, 4) !== 0) return undefined
    return new DatagramBatch(calls, descriptor)
  }

  /** From now on a datagram of the socket may be several, end to end: see `splitDatagrams`. */
  receiveBatches(): boolean {
    const { setsockopt } = this.#calls
    return setsockopt(this.#descriptor, SOL_UDP, UDP_GRO, new Int32Array([1]), 4) === 0
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  /** Copied, or sent. What the kernel refuses for now goes to `alone`, in its order. True when the bytes may be used again. */
  send(datagram: Uint8Array, to: Endpoint, alone: SendAlone): boolean {
    if (datagram.length > BATCHED_BYTES_MAX) {
      this.flush(alone)
      return this.#sendOne(datagram, to, alone)
    }
    const isOther =
      this.#to !== to ||
      this.#isClosed ||
      datagram.length > this.#segmentBytes ||
      datagram.length === 0
    if (isOther || this.#count === COUNT_MAX || this.#bytes + datagram.length > BATCH_BYTES) {
      this.flush(alone)
      this.#to = to
      this.#segmentBytes = datagram.length
    }
    this.#memory.bytes.set(datagram, AT.data + this.#bytes)
    this.#bytes += datagram.length
    this.#count++
    this.#isClosed = datagram.length < this.#segmentBytes
    return true
  }

  /** Sends what was copied. */
  flush(alone: SendAlone): void {
    if (this.#count === 0) return
    const to = this.#to!
    const name = this.#addressOf(to)
    const isSent = name !== undefined && this.#sendBatch(name)
    if (!isSent) for (const datagram of this.#copies()) alone(datagram, to)
    this.#count = this.#bytes = 0
    this.#to = undefined
    this.#isClosed = false
  }

  /** Nothing may be sent any more. */
  close(): void {
    this.#memory.free()
  }

  #sendBatch(name: Uint8Array): boolean {
    const view = this.#view
    this.#memory.bytes.set(name, AT.name)
    view.setUint32(MSGHDR.nameBytes, name.length, true)
    view.setBigUint64(AT.vector + 8, BigInt(this.#bytes), true)
    const isOne = this.#count === 1
    const control = isOne ? 0n : this.#memory.address + BigInt(AT.control)
    view.setBigUint64(MSGHDR.control, control, true)
    view.setBigUint64(MSGHDR.controlBytes, isOne ? 0n : CMSG_BYTES.space, true)
    view.setUint16(AT.control + 16, this.#segmentBytes, true)
    const { sendmsg } = this.#calls
    return sendmsg(this.#descriptor, this.#memory.pointer, MSG_DONTWAIT) >= 0
  }

  #sendOne(datagram: Uint8Array, to: Endpoint, alone: SendAlone): boolean {
    const name = this.#addressOf(to)
    const { sendto } = this.#calls
    const isSent =
      name !== undefined &&
      sendto(this.#descriptor, datagram, datagram.length, MSG_DONTWAIT, name, name.length) >= 0
    return isSent || alone(datagram, to)
  }

  *#copies(): Generator<Uint8Array> {
    for (let at = 0; at < this.#bytes; at += this.#segmentBytes) {
      const end = Math.min(at + this.#segmentBytes, this.#bytes)
      yield this.#memory.bytes.slice(AT.data + at, AT.data + end)
    }
  }

  /** `sockaddr_in` or `sockaddr_in6`; `undefined` for what has a scope. */
  #addressOf(to: Endpoint): Uint8Array | undefined {
    let name = this.#addresses.get(to)
    if (name !== undefined) return name
    name = socketAddress(to)
    if (name === undefined) return undefined
    if (this.#addresses.size >= ADDRESSES_MAX) this.#addresses = new Map()
    this.#addresses.set(to, name)
    return name
  }
}

function socketAddress({ address, port }: Endpoint): Uint8Array | undefined {
  const isV6 = isIPv6(address)
  const bytes = address.includes('%') ? undefined : ipBytes(address)
  if (bytes?.length !== (isV6 ? 16 : 4)) return undefined
  const name = new Uint8Array(isV6 ? 28 : 16)
  const view = new DataView(name.buffer)
  view.setUint16(0, isV6 ? AF_INET6 : AF_INET, true)
  view.setUint16(2, port)
  name.set(bytes, isV6 ? 8 : 4)
  return name
}
