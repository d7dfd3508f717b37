/**
 * Who dials a peer's WebSocket proves to be who it says: messages as at a relay (spec/09), over another text, so that
 * a signature given here means nothing at a rendezvous or at any other node (spec/10 §6.2).
 */
import {
  COMPAT_CLOSE,
  type CompatMessage,
  type CryptoProvider,
  decodeCompatMessage,
  encodeCompatMessage,
  type Signer,
  toBase64,
  toHex,
  utf8,
  WireError,
} from '../../../core/index.ts'
import { signed } from '../signed.ts'
import { errorText, type WebSocketLike } from '../web-socket.ts'
import { closeSocket } from './websocket-path.ts'

/** From the open WebSocket to `auth_ok`. */
const AUTH_MS = 10_000

export function pathChallenge(
  doorNodeId: number,
  dialerNodeId: number,
  ts: number,
  nonce: string,
): Uint8Array {
  return utf8(`pilot-path-websocket:${doorNodeId}:${dialerNodeId}:${ts}:${nonce}`)
}

export interface DoorOptions {
  readonly socket: WebSocketLike
  readonly crypto: CryptoProvider
  /** Our own. */
  readonly nodeId: number
  readonly unixNow: () => number
  /** Key of a peer that may come in. */
  readonly keyOf: (nodeId: number) => Uint8Array | undefined
  /** Called once: the id of the peer behind it, or why there is none, and the socket is closed then. */
  readonly ondone: (outcome: { readonly peerId: number } | { readonly reason: string }) => void
}

type CloseWords = { readonly code: number; readonly reason: string }

/** Gives the attempt up, and tells who dialed to come back. */
export type TurnAway = () => void

/** The door's side. */
export function challengeDialer(options: DoorOptions): TurnAway {
  const { socket, crypto, nodeId, unixNow, keyOf, ondone } = options
  const nonce = toHex(crypto.random(32))
  const ts = unixNow()
  let isDone = false
  const done = (outcome: Parameters<typeof ondone>[0]): void => {
    if (isDone) return
    isDone = true
    clearTimeout(timer)
    ondone(outcome)
  }
  const close = (reason: string, { code, reason: text }: CloseWords): void => {
    if (!isDone) closeSocket(socket, code, text)
    done({ reason })
  }
  const refuse = (reason: string): void => close(reason, COMPAT_CLOSE.authFailed)
  const timer = setTimeout(() => refuse('it took too long'), AUTH_MS)
  socket.onerror = () => {} // `close` follows
  socket.onclose = () => done({ reason: 'it was closed' })
  socket.onmessage = ({ data }) => {
    const reply = decode(data)
    if (reply?.type !== 'auth_reply') return refuse('no answer to the challenge')
    const key = keyOf(reply.nodeId)
    if (key === undefined) return refuse('not a trusted peer')
    const text = pathChallenge(nodeId, reply.nodeId, ts, nonce)
    if (!crypto.ed25519Verify(key, text, reply.signature)) return refuse('an invalid signature')
    socket.send(encodeCompatMessage({ type: 'auth_ok' }))
    done({ peerId: reply.nodeId })
  }
  socket.send(encodeCompatMessage({ type: 'auth_challenge', nonce, ts }))
  return () => close('turned away', COMPAT_CLOSE.tryLater)
}

export interface DialerOptions {
  readonly socket: WebSocketLike
  readonly identity: Signer
  /** Our own, and whom we take the door to be. */
  readonly nodeId: number
  readonly peerId: number
  /** Asked when the door has spoken; false: another socket was faster. */
  readonly mayProceed: () => boolean
  readonly onchallenged: () => void
  readonly onopen: () => void
  /** Not both are called, and each at most once. */
  readonly onfail: (reason: string) => void
}

/** The dialer's side: takes the handlers of a socket that is being opened. */
export function answerDoor(options: DialerOptions): void {
  const { socket, identity, nodeId, peerId } = options
  let hasReplied = false
  let problem: string | undefined
  const fail = (reason: string): void => {
    closeSocket(socket)
    options.onfail(reason)
  }
  socket.onerror = (event) => {
    problem = errorText(event)
  }
  socket.onclose = ({ code, reason }) =>
    fail(reason === '' ? (problem ?? `it was closed (${code})`) : reason)
  socket.onmessage = ({ data }) => {
    const message = decode(data)
    if (message?.type === 'auth_challenge' && message.ts !== undefined && !hasReplied) {
      if (!options.mayProceed()) return fail('another was faster')
      hasReplied = true
      options.onchallenged()
      void reply(pathChallenge(peerId, nodeId, message.ts, message.nonce)).catch((error: unknown) =>
        fail(error instanceof Error ? error.message : String(error)),
      )
    } else if (message?.type === 'auth_ok' && hasReplied) options.onopen()
    else fail('something else than a peer answers there')
  }
  const reply = async (text: Uint8Array): Promise<void> => {
    const signature = await signed(identity, text)
    const publicKey = toBase64(identity.publicKey)
    socket.send(encodeCompatMessage({ type: 'auth_reply', nodeId, publicKey, signature }))
  }
}

function decode(data: unknown): CompatMessage | undefined {
  if (typeof data !== 'string') return undefined
  try {
    return decodeCompatMessage(data)
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}
