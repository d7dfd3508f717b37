/**
 * What two nodes tell each other to make direct paths: what either has, descriptions and candidates, in order, over a stream
 * of the encrypted tunnel, each signed by the sender's identity. So nobody in between can read a fingerprint
 * or put another in its place. (Ours; the reference has nothing like it.)
 */
import { concat, fromBase64, fromUtf8, toBase64, toHex, utf8, viewOf } from '../../../core/bytes.ts'
import { type CryptoProvider, type Signer, WireError } from '../../../core/index.ts'
import type { IceCandidate } from '../rtc/peer-connection.ts'
import { signed } from '../signed.ts'
import { pathUrls } from './websocket-address.ts'

/** One message, as JSON; descriptions are a few KiB. */
export const SIGNAL_BYTES_MAX = 65_536

export type SignalBody =
  | {
      readonly kind: 'paths'
      /** The sender makes WebRTC connections. */
      readonly webrtc: boolean
      /** Where the sender takes WebSockets. */
      readonly websocket: readonly string[]
    }
  | { readonly kind: 'description'; readonly type: 'offer' | 'answer'; readonly sdp: string }
  | { readonly kind: 'candidate'; readonly candidate: IceCandidate | null }
  | { readonly kind: 'bye'; readonly reason: string }

export interface SignalParties {
  readonly sender: number
  readonly receiver: number
  /** Names the attempt; chosen by who began it. 32 hex digits. */
  readonly session: string
}

/** Frame of message number `sequence` (from 1): u32 length, JSON. */
export async function encodeSignal(
  crypto: CryptoProvider,
  identity: Signer,
  parties: SignalParties,
  sequence: number,
  body: SignalBody,
): Promise<Uint8Array> {
  const text = JSON.stringify(body)
  const signature = toBase64(
    await signed(identity, utf8(challenge(crypto, parties, sequence, text))),
  )
  const json = utf8(JSON.stringify({ session: parties.session, sequence, body: text, signature }))
  if (json.length > SIGNAL_BYTES_MAX)
    throw new WireError('ERR_WIRE_LENGTH', `signal of ${json.length} bytes`)
  const head = new Uint8Array(4)
  viewOf(head).setUint32(0, json.length)
  return concat(head, json)
}

export interface Signal {
  readonly session: string
  readonly sequence: number
  /** `undefined` for a kind that this version does not know. */
  readonly body: SignalBody | undefined
}

/**
 * Reads one frame's JSON and checks the signature under `publicKey`.
 *
 * @throws {WireError} `ERR_WIRE_VALUE` for anything that is not a well-formed signal signed by that key.
 */
export function decodeSignal(
  crypto: CryptoProvider,
  publicKey: Uint8Array,
  parties: Omit<SignalParties, 'session'>,
  json: Uint8Array,
): Signal {
  const message = parse(fromUtf8(json))
  const { session, sequence, body, signature } = message
  if (typeof session !== 'string' || !/^[0-9a-f]{32}$/.test(session)) throw invalid('session')
  if (typeof sequence !== 'number' || !Number.isSafeInteger(sequence)) throw invalid('sequence')
  if (typeof body !== 'string' || typeof signature !== 'string') throw invalid('body')
  const signed = utf8(challenge(crypto, { ...parties, session }, sequence, body))
  const bytes = fromBase64(signature)
  if (bytes === undefined || !crypto.ed25519Verify(publicKey, signed, bytes))
    throw invalid('signature')
  return { session, sequence, body: parseBody(body) }
}

/** Cuts a stream into the JSON of signals. */
export class SignalDecoder {
  #bytes: Uint8Array = new Uint8Array(0)

  push(bytes: Uint8Array): void {
    this.#bytes = concat(this.#bytes, bytes)
  }

  /** @throws {WireError} `ERR_WIRE_LENGTH` for an announced length above 64 KiB. */
  next(): Uint8Array | undefined {
    if (this.#bytes.length < 4) return undefined
    const length = viewOf(this.#bytes).getUint32(0)
    if (length > SIGNAL_BYTES_MAX)
      throw new WireError('ERR_WIRE_LENGTH', `signal of ${length} bytes`)
    if (this.#bytes.length < 4 + length) return undefined
    const json = this.#bytes.subarray(4, 4 + length)
    this.#bytes = this.#bytes.subarray(4 + length)
    return json
  }
}

function challenge(
  crypto: CryptoProvider,
  { session, sender, receiver }: SignalParties,
  sequence: number,
  body: string,
): string {
  return `pilot-path:${session}:${sender}:${receiver}:${sequence}:${toHex(crypto.sha256(utf8(body)))}`
}

function parse(text: string | undefined): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? '')
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // as below
  }
  throw invalid('JSON')
}

function parseBody(text: string): SignalBody | undefined {
  const body = parse(text)
  if (body.kind === 'paths') {
    const { webrtc, websocket } = body
    if (typeof webrtc !== 'boolean' || !Array.isArray(websocket)) throw invalid('paths')
    return { kind: 'paths', webrtc, websocket: pathUrls(websocket) }
  }
  if (body.kind === 'description') {
    if ((body.type !== 'offer' && body.type !== 'answer') || typeof body.sdp !== 'string')
      throw invalid('description')
    return { kind: 'description', type: body.type, sdp: body.sdp }
  }
  if (body.kind === 'candidate') {
    const { candidate } = body
    if (candidate !== null && typeof candidate !== 'object') throw invalid('candidate')
    return { kind: 'candidate', candidate: candidate as IceCandidate | null }
  }
  if (body.kind === 'bye') return { kind: 'bye', reason: String(body.reason ?? '').slice(0, 200) }
  if (typeof body.kind !== 'string') throw invalid('kind')
  return undefined
}

function invalid(what: string): WireError {
  return new WireError('ERR_WIRE_VALUE', `signal with an invalid ${what}`)
}
