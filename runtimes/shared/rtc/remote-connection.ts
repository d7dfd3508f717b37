/**
 * WebRTC connections that live on the other side of a lane: this end looks like connections, the other
 * (`remote-connection-host`) has them. Many share one lane.
 */
import { NetworkError, UsageError } from '../../../core/index.ts'
import { FramePacker, unpackFrames } from './frame-pack.ts'
import type {
  DataChannel,
  DataChannelInit,
  IceCandidate,
  LocalDescription,
  PeerConnection,
  PeerConnectionSettings,
  SessionDescription,
} from './peer-connection.ts'
import type { ClientLane, ClientMessage, HostMessage, Operation } from './remote-messages.ts'

/** Packed frames are posted at the end of the turn, and no later than at this size. */
const PACK_BYTES = 262_144

export class RemoteConnections {
  readonly #lane: ClientLane
  readonly #settings: PeerConnectionSettings | undefined
  readonly #connections = new Map<number, RemoteConnection>()
  #next = 1
  #endReason: string | undefined

  constructor(lane: ClientLane, settings?: PeerConnectionSettings) {
    this.#lane = lane
    this.#settings = settings
    lane.onmessage = (message) => this.#connections.get(message.connection)?.handle(message)
  }

  /** Connections that are not closed. */
  get size(): number {
    return this.#connections.size
  }

  /** A connection at the other end. After `end` it is closed from the start. */
  create(): PeerConnection {
    const id = this.#next++
    const connection = new RemoteConnection(
      id,
      (message, transfer) => this.#lane.post(message, transfer),
      () => this.#connections.delete(id),
    )
    if (this.#endReason === undefined) {
      this.#connections.set(id, connection)
      this.#lane.post({ kind: 'create', connection: id, settings: this.#settings })
    } else connection.lost(this.#endReason)
    return connection
  }

  /** The other end is gone: every connection closes, with this reason. */
  end(reason: string): void {
    if (this.#endReason !== undefined) return
    this.#endReason = reason
    for (const connection of [...this.#connections.values()]) connection.lost(reason)
  }
}

type Post = (message: ClientMessage, transfer?: readonly object[]) => void

class RemoteConnection implements PeerConnection {
  connectionState = 'new'
  iceConnectionState = 'new'
  closeReason: string | undefined
  onicecandidate: PeerConnection['onicecandidate'] = null
  onconnectionstatechange: PeerConnection['onconnectionstatechange'] = null
  oniceconnectionstatechange: PeerConnection['oniceconnectionstatechange'] = null
  readonly #id: number
  readonly #post: Post
  readonly #forget: () => void
  readonly #calls = new Map<
    number,
    { resolve(description: SessionDescription | undefined): void; reject(error: Error): void }
  >()
  #nextCall = 1
  #channel: RemoteChannel | undefined

  constructor(id: number, post: Post, forget: () => void) {
    this.#id = id
    this.#post = post
    this.#forget = forget
  }

  /** @throws {UsageError} `ERR_LIMIT` for a second one. */
  createDataChannel(label: string, init: DataChannelInit): DataChannel {
    if (this.#channel !== undefined)
      throw new UsageError('ERR_LIMIT', 'a remote connection has one data channel')
    this.#channel = new RemoteChannel(this.#id, this.#post)
    if (this.connectionState === 'closed') this.#channel.handleClosed()
    else this.#post({ kind: 'channel', connection: this.#id, label, init })
    return this.#channel
  }

  async createOffer({ iceRestart = false } = {}): Promise<LocalDescription> {
    return this.#describe({ name: 'createOffer', iceRestart })
  }

  async createAnswer(): Promise<LocalDescription> {
    return this.#describe({ name: 'createAnswer' })
  }

  setLocalDescription(description: SessionDescription): Promise<unknown> {
    return this.#call({ name: 'setLocalDescription', description })
  }

  setRemoteDescription(description: SessionDescription): Promise<unknown> {
    return this.#call({ name: 'setRemoteDescription', description })
  }

  addIceCandidate(candidate?: IceCandidate): Promise<unknown> {
    return this.#call({ name: 'addIceCandidate', candidate })
  }

  /** As on the web: no event follows. */
  close(): void {
    if (this.connectionState === 'closed') return
    this.#post({ kind: 'close', connection: this.#id })
    this.#close('the connection was closed')
  }

  /** Closed by the other end, or with it. */
  lost(reason: string): void {
    if (this.connectionState === 'closed') return
    this.#close(reason)
    this.onconnectionstatechange?.(undefined)
  }

  handle(message: HostMessage): void {
    switch (message.kind) {
      case 'result': {
        const call = this.#calls.get(message.call)
        this.#calls.delete(message.call)
        if (message.error === undefined) call?.resolve(message.description)
        else call?.reject(new NetworkError('ERR_PATH', message.error))
        break
      }
      case 'candidate': {
        const { candidate } = message
        this.onicecandidate?.({
          candidate: candidate === null ? null : { toJSON: () => candidate },
        })
        break
      }
      case 'state':
        if (message.state === 'closed') return this.lost('the connection was closed')
        this.#handleState(message.state, message.iceState)
        break
      case 'closed':
        this.lost(message.reason)
        break
      default:
        this.#channel?.handle(message)
    }
  }

  #handleState(state: string, iceState: string): void {
    const [before, iceBefore] = [this.connectionState, this.iceConnectionState]
    this.connectionState = state
    this.iceConnectionState = iceState
    if (iceState !== iceBefore) this.oniceconnectionstatechange?.(undefined)
    if (state !== before) this.onconnectionstatechange?.(undefined)
  }

  async #describe(operation: Operation): Promise<SessionDescription> {
    const description = await this.#call(operation)
    if (description === undefined) throw new NetworkError('ERR_PATH', 'no description came back')
    return description
  }

  #call(operation: Operation): Promise<SessionDescription | undefined> {
    if (this.connectionState === 'closed') return Promise.reject(this.#closedError())
    const call = this.#nextCall++
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject })
      this.#post({ kind: 'call', connection: this.#id, call, operation })
    })
  }

  #close(reason: string): void {
    this.connectionState = 'closed'
    this.closeReason = reason
    this.#forget()
    for (const { reject } of this.#calls.values()) reject(this.#closedError())
    this.#calls.clear()
    this.#channel?.handleClosed()
  }

  #closedError(): NetworkError {
    return new NetworkError('ERR_PATH', this.closeReason ?? 'the connection is closed')
  }
}

class RemoteChannel implements DataChannel {
  binaryType = 'arraybuffer'
  bufferedAmountLowThreshold = 0
  onopen: DataChannel['onopen'] = null
  onmessage: DataChannel['onmessage'] = null
  onbufferedamountlow: DataChannel['onbufferedamountlow'] = null
  onclose: DataChannel['onclose'] = null
  readonly #id: number
  readonly #post: Post
  readonly #packer = new FramePacker()
  #state: 'connecting' | 'open' | 'closed' = 'connecting'
  /** The channel itself, where the other end could hand it over. */
  #own: DataChannel | undefined
  /** Bytes given to `send`, reported as sent, and of messages that came; in all. */
  #given = 0
  #sent = 0
  #taken = 0

  constructor(id: number, post: Post) {
    this.#id = id
    this.#post = post
  }

  /** What has not left the other end's channel, as far as it has told. */
  get bufferedAmount(): number {
    return this.#own === undefined ? this.#given - this.#sent : this.#own.bufferedAmount
  }

  /** @throws {NetworkError} `ERR_PATH` unless the channel is open. */
  send(data: Uint8Array<ArrayBuffer>): void {
    if (this.#state !== 'open') throw new NetworkError('ERR_PATH', 'the channel is not open')
    if (this.#own !== undefined) return this.#own.send(data)
    this.#given += data.length
    if (this.#packer.length === 0) queueMicrotask(() => this.#flush())
    this.#packer.push(data)
    if (this.#packer.length >= PACK_BYTES) this.#flush()
  }

  close(): void {
    const own = this.#own
    this.handleClosed()
    own?.close()
  }

  handle(message: HostMessage): void {
    if (this.#state === 'closed') return
    if (message.kind === 'open') this.#opened()
    else if (message.kind === 'sent') this.#handleSent(message.total)
    else if (message.kind === 'transferred') this.#adopt(message.channel as DataChannel)
    else if (message.kind === 'frames') {
      this.#taken += message.packed.length
      for (const frame of unpackFrames(message.packed)) this.onmessage?.({ data: frame })
      // Acknowledged once dealt with: who is slow is sent less.
      this.#post({ kind: 'taken', connection: this.#id, total: this.#taken })
    }
  }

  handleClosed(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.onclose?.(undefined)
  }

  #opened(): void {
    if (this.#state !== 'connecting') return
    this.#state = 'open'
    this.onopen?.(undefined)
  }

  #handleSent(total: number): void {
    const wasHigh = this.bufferedAmount > this.bufferedAmountLowThreshold
    this.#sent = Math.min(this.#given, Math.max(this.#sent, total))
    if (wasHigh && this.bufferedAmount <= this.bufferedAmountLowThreshold)
      this.onbufferedamountlow?.(undefined)
  }

  #adopt(channel: DataChannel): void {
    this.#own = channel
    channel.binaryType = 'arraybuffer'
    channel.onopen = () => this.#opened()
    channel.onmessage = (event) => this.onmessage?.(event)
    channel.onbufferedamountlow = (event) => this.onbufferedamountlow?.(event)
    channel.onclose = () => this.handleClosed()
    if ((channel as { readonly readyState?: string }).readyState === 'open') this.#opened()
  }

  #flush(): void {
    if (this.#packer.length === 0) return
    const packed = this.#packer.take()
    if (this.#state === 'open')
      this.#post({ kind: 'frames', connection: this.#id, packed }, [packed.buffer])
  }
}
