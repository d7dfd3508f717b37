/**
 * What the two ends of remote WebRTC tell each other: who wants connections (a worker, a daemon) and who has them
 * (its page, a child process). Structured clones of plain data; frames travel packed, many in one message.
 */
import type {
  DataChannelInit,
  IceCandidate,
  PeerConnectionSettings,
  SessionDescription,
} from './peer-connection.ts'

/** Either end of a way for messages that keeps their order: a MessagePort, a worker, a pipe. */
export interface MessageLane<Out, In = Out> {
  post(message: Out, transfer?: readonly object[]): void
  onmessage: ((message: In) => void) | undefined
}

/** `connection` is chosen by the client: from 1, never used twice. */
export type ClientMessage =
  | {
      readonly kind: 'create'
      readonly connection: number
      readonly settings: PeerConnectionSettings | undefined
    }
  | {
      readonly kind: 'channel'
      readonly connection: number
      readonly label: string
      readonly init: DataChannelInit
    }
  /** Answered by `result` with the same `call`. */
  | {
      readonly kind: 'call'
      readonly connection: number
      readonly call: number
      readonly operation: Operation
    }
  | { readonly kind: 'frames'; readonly connection: number; readonly packed: Uint8Array }
  /** So many bytes of `frames` were taken, in all. */
  | { readonly kind: 'taken'; readonly connection: number; readonly total: number }
  | { readonly kind: 'close'; readonly connection: number }

export type Operation =
  | { readonly name: 'createOffer'; readonly iceRestart: boolean }
  | { readonly name: 'createAnswer' }
  | {
      readonly name: 'setLocalDescription' | 'setRemoteDescription'
      readonly description: SessionDescription
    }
  | { readonly name: 'addIceCandidate'; readonly candidate: IceCandidate | undefined }

export type HostMessage =
  | {
      readonly kind: 'result'
      readonly connection: number
      readonly call: number
      readonly description?: SessionDescription | undefined
      /** The operation failed, with this text. */
      readonly error?: string | undefined
    }
  | {
      readonly kind: 'candidate'
      readonly connection: number
      readonly candidate: IceCandidate | null
    }
  | {
      readonly kind: 'state'
      readonly connection: number
      readonly state: string
      readonly iceState: string
    }
  | { readonly kind: 'open'; readonly connection: number }
  | { readonly kind: 'frames'; readonly connection: number; readonly packed: Uint8Array }
  /** So many bytes of `frames` have left the channel, or were dropped, in all. */
  | { readonly kind: 'sent'; readonly connection: number; readonly total: number }
  /** The channel itself, where it can be handed over (RTCDataChannel to a worker): no frames come this way then. */
  | { readonly kind: 'transferred'; readonly connection: number; readonly channel: unknown }
  /** Nothing more comes of this connection. */
  | { readonly kind: 'closed'; readonly connection: number; readonly reason: string }

export type ClientLane = MessageLane<ClientMessage, HostMessage>
export type HostLane = MessageLane<HostMessage, ClientMessage>

/** As much of a MessagePort or Worker as a lane needs. */
export interface PortLike {
  postMessage(message: unknown, transfer: Transferable[]): void
  onmessage: ((event: MessageEvent) => void) | null
}

export function portLane<Out, In>(port: PortLike): MessageLane<Out, In> {
  const lane: MessageLane<Out, In> = {
    post: (message, transfer = []) => port.postMessage(message, transfer as Transferable[]),
    onmessage: undefined,
  }
  port.onmessage = ({ data }) => lane.onmessage?.(data as In)
  return lane
}
