/** Whose `X-Forwarded-For` is believed: reverse proxies that the operator named. */
import { UsageError } from '../core/errors.ts'
import { formatIp, ipBytes } from '../core/ip.ts'

interface Block {
  readonly bytes: Uint8Array
  readonly bits: number
}

/** Entries looked at, from the right: longer chains are somebody's invention. */
const HOPS_MAX = 16

export class TrustedProxies {
  readonly #blocks: readonly Block[]

  /**
   * IP addresses and CIDR blocks.
   *
   * @throws {UsageError} `ERR_INVALID_ARGUMENT`.
   */
  constructor(texts: readonly string[]) {
    this.#blocks = texts.map(parseBlock)
  }

  includes(address: string): boolean {
    const bytes = ipBytes(address)
    return bytes !== undefined && this.#blocks.some((block) => covers(block, bytes))
  }

  /**
   * The client of a connection that came from `peer`: the last address in the header that is no trusted
   * proxy, since each proxy appends whom it heard and everything before may be made up. `peer` itself unless
   * that is a trusted proxy, and where the header makes no sense.
   */
  clientOf(peer: string, forwardedFor: string | undefined): string {
    if (forwardedFor === undefined || !this.includes(peer)) return peer
    let client = peer
    for (const entry of forwardedFor.split(',').slice(-HOPS_MAX).reverse()) {
      const bytes = ipBytes(withoutPort(entry.trim()))
      if (bytes === undefined) return client
      client = formatIp(bytes)
      if (!this.includes(client)) return client
    }
    return client
  }
}

function parseBlock(text: string): Block {
  const [address = '', prefix, ...rest] = text.split('/')
  const bytes = ipBytes(address)
  const bits = prefix === undefined ? (bytes?.length ?? 0) * 8 : Number(prefix)
  if (
    bytes === undefined ||
    rest.length > 0 ||
    !/^\d{1,3}$/.test(prefix ?? '0') ||
    bits > bytes.length * 8
  )
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `expected an IP address or a block such as 10.0.0.0/8, got ${JSON.stringify(text)}`,
    )
  return { bytes, bits }
}

function covers({ bytes, bits }: Block, address: Uint8Array): boolean {
  if (bytes.length !== address.length) return false
  const whole = bits >> 3
  for (let i = 0; i < whole; i++) if (bytes[i] !== address[i]) return false
  const rest = bits & 7
  return rest === 0 || (bytes[whole]! ^ address[whole]!) >> (8 - rest) === 0
}

/** `1.2.3.4:5`, `[::1]:5` and `[::1]` as some proxies write them. */
function withoutPort(text: string): string {
  const match = /^\[([^\]]+)\](?::\d+)?$/.exec(text) ?? /^([\d.]+):\d+$/.exec(text)
  return match?.[1] ?? text
}
