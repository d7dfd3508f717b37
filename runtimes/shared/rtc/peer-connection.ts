/**
 * As much of the web's WebRTC as paths need: one connection with one data channel. The browser's own
 * RTCPeerConnection fits, and so do node-datachannel, werift, and one that lives in another thread or process.
 */

export interface SessionDescription {
  readonly type: 'offer' | 'answer'
  readonly sdp: string
}

/** What `RTCIceCandidate.toJSON()` gives. */
export interface IceCandidate {
  readonly candidate?: string
  readonly sdpMid?: string | null
  readonly sdpMLineIndex?: number | null
  readonly usernameFragment?: string | null
}

/** STUN and TURN servers, and what one implementation wants to know beside them. Can be cloned. */
export interface PeerConnectionSettings {
  readonly iceServers?: readonly IceServer[]
  /** Node only: address of the interface to gather candidates on. */
  readonly bindAddress?: string
}

export interface IceServer {
  readonly urls: string | readonly string[]
  readonly username?: string
  readonly credential?: string
}

/** Methods are compared loosely, so that the richer events of the implementations fit. */
type Handler<E> = { handle(event: E): void }['handle'] | null | undefined

export interface DataChannelInit {
  readonly negotiated: boolean
  readonly id: number
  readonly ordered: boolean
  readonly maxRetransmits: number
}

export interface DataChannel {
  /** Set to `arraybuffer`; implementations that know nothing else need not have it. */
  binaryType?: string
  /** Bytes taken and not yet on the network. */
  readonly bufferedAmount: number
  bufferedAmountLowThreshold?: number
  onopen?: Handler<unknown>
  onmessage?: Handler<{ readonly data: unknown }>
  onbufferedamountlow?: Handler<unknown>
  onclose?: Handler<unknown>
  /** The bytes are the channel's from now on. Throws unless it is open. */
  send(data: Uint8Array<ArrayBuffer>): void
  close(): void
}

export interface PeerConnection {
  /** `new`, `connecting`, `connected`, `disconnected`, `failed` or `closed`. */
  readonly connectionState: string
  readonly iceConnectionState?: string
  /** Why it is closed, where somebody else closed it. */
  readonly closeReason?: string | undefined
  onicecandidate: Handler<{ readonly candidate: { toJSON(): IceCandidate } | null | undefined }>
  onconnectionstatechange: Handler<unknown>
  oniceconnectionstatechange?: Handler<unknown>
  createDataChannel(label: string, init: DataChannelInit): DataChannel
  createOffer(options?: { readonly iceRestart?: boolean }): Promise<LocalDescription>
  createAnswer(): Promise<LocalDescription>
  setLocalDescription(description: SessionDescription): Promise<unknown>
  setRemoteDescription(description: SessionDescription): Promise<unknown>
  /** `undefined`: there are no more. */
  addIceCandidate(candidate?: IceCandidate): Promise<unknown>
  close(): unknown
}

/** What implementations return; `type` and `sdp` are those of an offer or answer. */
export interface LocalDescription {
  readonly type: string
  readonly sdp?: string
}

export type MakePeerConnection = () => PeerConnection

/** Browsers give an ArrayBuffer, Node's packages a view. Text is nobody's frame. */
export function frameOf(data: unknown): Uint8Array | undefined {
  if (data instanceof ArrayBuffer) return new Uint8Array(data)
  return data instanceof Uint8Array ? data : undefined
}

/** The state as a plain object that can be cloned. */
export function descriptionOf({ type, sdp = '' }: LocalDescription): SessionDescription {
  return { type: type === 'answer' ? 'answer' : 'offer', sdp }
}
