/** The other end of `remote-connection`: has the connections that a client across a lane asks for. */
import { FramePacker, unpackFrames } from './frame-pack.ts'
import {
  type DataChannel,
  descriptionOf,
  frameOf,
  type PeerConnection,
  type PeerConnectionSettings,
} from './peer-connection.ts'
import type { ClientMessage, HostLane, Operation } from './remote-messages.ts'

/** Connections at once; Chromium stops at 500 per page, closed ones that nobody collected included. */
const CONNECTIONS_MAX = 256
/** Bytes in a channel's queue; a client that keeps to its count never gets there. The newest frame is dropped. */
const BUFFERED_MAX = 4 << 20
/** Bytes that the client has not acknowledged. The newest frame is dropped. */
const UNTAKEN_MAX = 4 << 20
/** Posted though the client has not taken the last: up to here a message goes at once, above it waits for company. */
const OUTSTANDING_BYTES = 32_768
/** Waiting frames go when they are so many, whatever is outstanding. */
const PACK_BYTES = 131_072
/** How often a queue is looked at while it is not empty: `bufferedamountlow` is not to be relied upon alone. */
const POLL_MS = 20
const LOW_BYTES = 131_072

export interface ConnectionHostOptions {
  readonly lane: HostLane
  readonly createConnection: (settings: PeerConnectionSettings) => PeerConnection
  /**
   * Hand the data channel itself over at once: for a page whose worker may own an RTCDataChannel. Where the lane
   * refuses it, frames travel by the lane.
   */
  readonly transferChannels?: boolean
}

export class ConnectionHost {
  readonly #options: ConnectionHostOptions
  readonly #connections = new Map<number, HostedConnection>()

  constructor(options: ConnectionHostOptions) {
    this.#options = options
    options.lane.onmessage = (message) => this.#handle(message)
  }

  get size(): number {
    return this.#connections.size
  }

  /** Frames dropped because the other end, or the network, did not keep up. */
  get dropped(): number {
    let dropped = this.#dropped
    for (const connection of this.#connections.values()) dropped += connection.dropped
    return dropped
  }
  #dropped = 0

  /** Closes every connection and hears no more. */
  close(): void {
    this.#options.lane.onmessage = undefined
    for (const connection of [...this.#connections.values()]) connection.close()
    this.#connections.clear()
  }

  #handle(message: ClientMessage): void {
    const { connection: id } = message
    if (message.kind === 'create') return this.#create(id, message.settings)
    const connection = this.#connections.get(id)
    if (connection === undefined) return // closed meanwhile
    try {
      connection.handle(message)
    } catch (error) {
      connection.fail(textOf(error))
    }
    if (message.kind === 'close') this.#forget(id)
  }

  #create(id: number, settings: PeerConnectionSettings | undefined): void {
    const { lane, createConnection, transferChannels = false } = this.#options
    const refuse = (reason: string): void => lane.post({ kind: 'closed', connection: id, reason })
    if (this.#connections.size >= CONNECTIONS_MAX)
      return refuse(`${CONNECTIONS_MAX} connections are open`)
    try {
      const connection = createConnection(settings ?? {})
      this.#connections.set(
        id,
        new HostedConnection(id, connection, lane, transferChannels, () => this.#forget(id)),
      )
    } catch (error) {
      refuse(textOf(error))
    }
  }

  #forget(id: number): void {
    this.#dropped += this.#connections.get(id)?.dropped ?? 0
    this.#connections.delete(id)
  }
}

class HostedConnection {
  dropped = 0
  readonly #id: number
  readonly #connection: PeerConnection
  readonly #lane: HostLane
  readonly #transfersChannel: boolean
  readonly #forget: () => void
  readonly #inbound = new FramePacker()
  #channel: DataChannel | undefined
  /** Bytes handed to the channel or dropped, posted to the client and taken by it; in all. */
  #handed = 0
  #reported = 0
  #posted = 0
  #taken = 0
  #poll: ReturnType<typeof setTimeout> | undefined
  #isClosed = false

  constructor(
    id: number,
    connection: PeerConnection,
    lane: HostLane,
    transfersChannel: boolean,
    forget: () => void,
  ) {
    this.#id = id
    this.#connection = connection
    this.#lane = lane
    this.#transfersChannel = transfersChannel
    this.#forget = forget
    connection.onicecandidate = ({ candidate }) => {
      if (this.#isClosed) return
      lane.post({ kind: 'candidate', connection: id, candidate: candidate?.toJSON() ?? null })
    }
    const tell = (): void => {
      const { connectionState: state, iceConnectionState: iceState = '' } = connection
      if (this.#isClosed) return
      if (state === 'closed') this.fail('the connection was closed')
      else lane.post({ kind: 'state', connection: id, state, iceState })
    }
    connection.onconnectionstatechange = tell
    connection.oniceconnectionstatechange = tell
  }

  handle(message: ClientMessage): void {
    switch (message.kind) {
      case 'channel':
        return this.#open(message.label, message.init)
      case 'call':
        return void this.#answer(message.call, message.operation)
      case 'frames':
        return this.#send(message.packed)
      case 'taken':
        this.#taken = Math.min(this.#posted, Math.max(this.#taken, message.total))
        return this.#flush()
      case 'close':
        return this.close()
    }
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#poll)
    this.#connection.onicecandidate = null
    this.#connection.onconnectionstatechange = null
    this.#connection.oniceconnectionstatechange = null
    this.#channel?.close()
    this.#connection.close()
  }

  fail(reason: string): void {
    if (this.#isClosed) return
    this.close()
    this.#lane.post({ kind: 'closed', connection: this.#id, reason })
    this.#forget()
  }

  async #answer(call: number, operation: Operation): Promise<void> {
    const answer = { kind: 'result', connection: this.#id, call } as const
    try {
      const description = await this.#perform(operation)
      if (!this.#isClosed) this.#lane.post({ ...answer, description })
    } catch (error) {
      if (!this.#isClosed) this.#lane.post({ ...answer, error: textOf(error) })
    }
  }

  async #perform(operation: Operation): Promise<ReturnType<typeof descriptionOf> | undefined> {
    const connection = this.#connection
    switch (operation.name) {
      case 'createOffer':
        return descriptionOf(await connection.createOffer({ iceRestart: operation.iceRestart }))
      case 'createAnswer':
        return descriptionOf(await connection.createAnswer())
      case 'addIceCandidate':
        await connection.addIceCandidate(operation.candidate)
        return undefined
      default:
        await connection[operation.name](operation.description)
        return undefined
    }
  }

  #open(label: string, init: Parameters<PeerConnection['createDataChannel']>[1]): void {
    if (this.#channel !== undefined) return
    const channel = this.#connection.createDataChannel(label, init)
    // It can be handed over only before anything has happened to it.
    if (this.#transfersChannel && this.#handOver(channel)) return
    this.#channel = channel
    channel.binaryType = 'arraybuffer'
    channel.bufferedAmountLowThreshold = LOW_BYTES
    channel.onopen = () => {
      if (!this.#isClosed) this.#lane.post({ kind: 'open', connection: this.#id })
    }
    channel.onmessage = ({ data }) => {
      const frame = frameOf(data)
      if (frame !== undefined && !this.#isClosed) this.#receive(frame)
    }
    channel.onbufferedamountlow = () => this.#report()
    channel.onclose = () => this.fail('the channel was closed')
  }

  #handOver(channel: DataChannel): boolean {
    try {
      this.#lane.post({ kind: 'transferred', connection: this.#id, channel }, [channel])
      return true
    } catch {
      return false // DataCloneError: this browser hands no channel over
    }
  }

  #send(packed: Uint8Array): void {
    const channel = this.#channel
    if (channel === undefined) return
    for (const frame of unpackFrames(packed)) {
      this.#handed += frame.length
      if (channel.bufferedAmount + frame.length > BUFFERED_MAX) this.dropped++
      else
        try {
          channel.send(frame)
        } catch {
          this.dropped++ // closing, or larger than the other side takes
        }
    }
    this.#report()
  }

  /** Tells what has left the channel, until all has. */
  #report(): void {
    clearTimeout(this.#poll)
    if (this.#isClosed || this.#channel === undefined) return
    const left = this.#channel.bufferedAmount
    const total = Math.max(this.#reported, this.#handed - left)
    if (total > this.#reported) {
      this.#reported = total
      this.#lane.post({ kind: 'sent', connection: this.#id, total })
    }
    if (left > 0) this.#poll = setTimeout(() => this.#report(), POLL_MS)
  }

  #receive(frame: Uint8Array): void {
    const waiting = this.#posted - this.#taken + this.#inbound.length
    if (waiting + frame.length > UNTAKEN_MAX) {
      this.dropped++
      return
    }
    this.#inbound.push(frame)
    this.#flush()
  }

  /** At once to a client that has taken what it got; in larger pieces to one that is busy. */
  #flush(): void {
    const outstanding = this.#posted - this.#taken
    if (this.#inbound.length === 0 || this.#isClosed) return
    if (outstanding >= OUTSTANDING_BYTES && this.#inbound.length < PACK_BYTES) return
    const packed = this.#inbound.take()
    this.#posted += packed.length
    this.#lane.post({ kind: 'frames', connection: this.#id, packed }, [packed.buffer])
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
