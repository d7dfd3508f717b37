/**
 * Records of a nameserver (spec/07 §2.3): names of nodes and networks, and who offers a port. They live for five
 * minutes. Unlike in the reference a node registers addresses of its own only, and a live name of another stays his.
 */
import { lossyUtf8 } from '../bytes.ts'
import { WireError } from '../errors.ts'
import type { Instant } from '../machine.ts'
import { type Address, formatAddress, parseAddress } from '../wire/address.ts'
import { formatGoJson } from './go-json.ts'
import { type NameRequest, parseNameRequest } from './name-message.ts'

export const NAME_LIFETIME_MS = 300_000
/** Records in all, and of one node. */
const RECORDS_MAX = 10_000
const RECORDS_PER_NODE_MAX = 256
/** Providers of one port that a reply names. */
const SERVICES_MAX = 64
/** Of records that were loaded: whose they are is not known. */
const NOBODY = -1

interface NameRecord {
  readonly kind: 'a' | 'n' | 's'
  readonly owner: number
  readonly name: string
  readonly address: string
  readonly network: number
  readonly port: number
  readonly endsAt: Instant
}

export class NameTable {
  readonly #records = new Map<string, NameRecord>()
  readonly #counts = new Map<number, number>()
  #version = 0

  get size(): number {
    return this.#records.size
  }
  /** Changes when what `format` gives does. */
  get version(): number {
    return this.#version
  }

  /** The reply to a request from a node, `ERR ...` for a bad one. Never throws. */
  handle(request: Uint8Array, from: Address, now: Instant): string {
    try {
      return this.#answer(parseNameRequest(lossyUtf8(request)), from.node, now)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      return `ERR ${error.message}`
    }
  }

  /** Forgets what has ended. */
  sweep(now: Instant): void {
    for (const [key, record] of this.#records) if (record.endsAt <= now) this.#remove(key)
  }

  /** The file of the reference, without times. */
  format(): string {
    const of = <T>(kind: NameRecord['kind'], map: (record: NameRecord) => T): T[] | null => {
      const list = [...this.#records.values()].filter((record) => record.kind === kind).map(map)
      return list.length === 0 ? null : list
    }
    return formatGoJson(
      {
        a_records: of('a', ({ name, address }) => ({ name, address })),
        n_records: of('n', ({ name, network }) => ({ name, network_id: network })),
        s_records: of('s', ({ name, address, network, port }) => ({
          name,
          address,
          network_id: network,
          port,
        })),
      },
      2,
    )
  }

  /** Takes the records of a file, each with a fresh lifetime. @throws {WireError} `ERR_WIRE_VALUE`. */
  load(text: string, now: Instant): void {
    let file: Record<string, unknown>
    try {
      file = JSON.parse(text)
    } catch {
      throw new WireError('ERR_WIRE_VALUE', 'need JSON')
    }
    const each = (list: unknown, requestOf: (one: Record<string, unknown>) => string): void => {
      if (list === null || list === undefined) return
      if (!Array.isArray(list)) throw new WireError('ERR_WIRE_VALUE', 'need lists of records')
      for (const one of list) this.#put(parseNameRequest(requestOf(one ?? {})), NOBODY, now)
    }
    if (typeof file !== 'object' || file === null)
      throw new WireError('ERR_WIRE_VALUE', 'need a JSON object')
    each(file.a_records, (one) => `REGISTER A ${one.name} ${one.address}`)
    each(file.n_records, (one) => `REGISTER N ${one.name} ${one.network_id}`)
    each(
      file.s_records,
      (one) => `REGISTER S ${one.name} ${one.address} ${one.network_id} ${one.port}`,
    )
  }

  #answer(request: NameRequest, from: number, now: Instant): string {
    switch (request.type) {
      case 'query-address': {
        const record = this.#live(`a ${request.name}`, now)
        if (record === undefined) throw refusal(`name ${JSON.stringify(request.name)} not found`)
        return `A ${record.name} ${record.address}`
      }
      case 'query-network': {
        const record = this.#live(`n ${request.name}`, now)
        if (record === undefined) throw refusal(`network ${JSON.stringify(request.name)} not found`)
        return `N ${record.name} ${record.network}`
      }
      case 'query-services': {
        const found = [...this.#records.values()].filter(
          ({ kind, network, port, endsAt }) =>
            kind === 's' && network === request.network && port === request.port && endsAt > now,
        )
        if (found.length === 0) return 'S'
        const lines = found.slice(0, SERVICES_MAX)
        return lines.map(({ name, address, port }) => `S ${name} ${address} ${port}`).join('\n')
      }
      default:
        return this.#put(request, from, now)
    }
  }

  #put(request: NameRequest, from: number, now: Instant): 'OK' {
    const endsAt = now + NAME_LIFETIME_MS
    const base = { address: '', network: 0, port: 0, endsAt }
    switch (request.type) {
      case 'register-address': {
        const { address, owner } = this.#ownAddress(request.address, from, 'address')
        this.#keep(
          `a ${request.name}`,
          { ...base, kind: 'a', owner, name: request.name, address },
          now,
        )
        return 'OK'
      }
      case 'register-network':
        this.#keep(
          `n ${request.name}`,
          { ...base, kind: 'n', owner: from, name: request.name, network: request.network },
          now,
        )
        return 'OK'
      case 'register-service': {
        const { name, network, port } = request
        const { address, owner } = this.#ownAddress(request.address, from, 'service')
        this.#keep(
          `s ${network} ${port} ${address}`,
          { kind: 's', owner, name, address, network, port, endsAt },
          now,
        )
        return 'OK'
      }
      default:
        throw refusal('unknown command')
    }
  }

  #keep(key: string, record: NameRecord, now: Instant): void {
    const known = this.#live(key, now)
    if (known !== undefined && known.owner !== NOBODY && known.owner !== record.owner)
      throw refusal(`name ${JSON.stringify(record.name)} is registered by another node`)
    if (known === undefined) {
      this.#remove(key)
      if (this.#records.size >= RECORDS_MAX) this.sweep(now)
      const count = this.#counts.get(record.owner) ?? 0
      const isFull = record.owner !== NOBODY && count >= RECORDS_PER_NODE_MAX
      if (isFull || this.#records.size >= RECORDS_MAX) throw refusal('too many records')
    } else this.#count(known.owner, -1)
    this.#count(record.owner, 1)
    // A later name for the same service counts, as in the newest reference; base keeps the first.
    this.#records.set(key, record)
    const isSame =
      known?.name === record.name &&
      known.address === record.address &&
      known.network === record.network
    if (!isSame) this.#version++
  }

  /** Base has this check, and it never fires (spec/07 §2.3). */
  #ownAddress(text: string, from: number, what: string): { address: string; owner: number } {
    const parsed = addressOf(text)
    if (from !== NOBODY && parsed.node !== from)
      throw refusal(`cannot register ${what} for another node`)
    return { address: formatAddress(parsed), owner: parsed.node }
  }

  #live(key: string, now: Instant): NameRecord | undefined {
    const record = this.#records.get(key)
    return record !== undefined && record.endsAt > now ? record : undefined
  }

  #remove(key: string): void {
    const record = this.#records.get(key)
    if (record === undefined) return
    this.#records.delete(key)
    this.#count(record.owner, -1)
    this.#version++
  }

  #count(owner: number, delta: number): void {
    const count = (this.#counts.get(owner) ?? 0) + delta
    if (count > 0) this.#counts.set(owner, count)
    else this.#counts.delete(owner)
  }
}

/** Errors in the reference's words. */
function addressOf(text: string): Address {
  try {
    return parseAddress(text)
  } catch {
    const match = /^(\d{1,5}):([0-9a-f]{4})\.[0-9a-f]{4}\.[0-9a-f]{4}$/i.exec(text)
    if (match !== null && Number(match[1]) <= 0xffff)
      throw refusal(`network mismatch: decimal ${Number(match[1])} != hex 0x${match[2]}`)
    throw refusal(`invalid address: ${JSON.stringify(text)} (expected N:XXXX.YYYY.YYYY)`)
  }
}

function refusal(text: string): WireError {
  return new WireError('ERR_WIRE_VALUE', text)
}
