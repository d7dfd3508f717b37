/**
 * Request envelopes (spec/06 §11.3): one line of text by which a node signs a request that it makes outside of the
 * network, e.g. over HTTP: who asks, when, over which body, and of whom.
 */
import { toHex } from '../bytes.ts'
import { UsageError } from '../errors.ts'
import type { Address } from '../wire/address.ts'

export interface RequestEnvelope {
  readonly address: Address
  /** Unix seconds. */
  readonly at: number
  /** 8 bytes. */
  readonly nonce: Uint8Array
  /** SHA-256 in 64 lower-case hex digits. */
  readonly bodyHash: string
  /** Of `[a-z0-9.-]`, 1 to 64 characters. */
  readonly audience: string
}

/** Difference of clocks that a verifier allows by default, in seconds. */
export const ENVELOPE_SKEW_SECONDS = 300

/** The text that is signed. @throws {UsageError} `ERR_INVALID_ARGUMENT`, naming the member. */
export function formatEnvelope({
  address,
  at,
  nonce,
  bodyHash,
  audience,
}: RequestEnvelope): string {
  if (!AUDIENCE.test(audience)) throw invalid('audience is 1 to 64 of a-z, 0-9, dot and hyphen')
  if (!BODY_HASH.test(bodyHash)) throw invalid('body_hash is 64 lower-case hex digits')
  if (nonce.length !== NONCE_BYTES) throw invalid(`nonce is ${NONCE_BYTES} bytes`)
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')
  const place = `${hex(address.network, 4)}${hex(address.node, 8)}`
  return [PREFIX, place, at, toHex(nonce), bodyHash, audience].join('|')
}

/** `undefined` for anything but the exact form. */
export function parseEnvelope(text: string): RequestEnvelope | undefined {
  const match = ENVELOPE.exec(text)
  if (match === null) return undefined
  const [, network = '', node = '', at = '', nonce = '', bodyHash = '', audience = ''] = match
  return {
    address: { network: Number.parseInt(network, 16), node: Number.parseInt(node, 16) },
    at: Number(at),
    nonce: Uint8Array.from({ length: NONCE_BYTES }, (_, i) =>
      Number.parseInt(nonce.slice(2 * i, 2 * i + 2), 16),
    ),
    bodyHash,
    audience,
  }
}

const PREFIX = 'pilot-req-v1'
const NONCE_BYTES = 8
const AUDIENCE = /^[a-z0-9.-]{1,64}$/
const BODY_HASH = /^[0-9a-f]{64}$/
// One text per envelope: decimals have no leading zero, nothing follows.
const ENVELOPE =
  /^pilot-req-v1\|([0-9a-f]{4})([0-9a-f]{8})\|(0|[1-9]\d{0,14})\|([0-9a-f]{16})\|([0-9a-f]{64})\|([a-z0-9.-]{1,64})$/

function invalid(why: string): UsageError {
  return new UsageError('ERR_INVALID_ARGUMENT', why)
}
