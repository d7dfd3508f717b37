/** Beacons that announced themselves (spec/04 §11): kept in memory for 60 s after each announcement. */
import type { Endpoint, Instant } from '../core/machine.ts'
import { formatEndpoint } from '../core/machine.ts'
import { BEACON_LIFETIME_MS, BEACONS_MAX } from './limits.ts'
import { isLocalAddress, parseEndpoint } from './request-fields.ts'

interface Announced {
  readonly endpoint: string
  readonly source: string
  readonly at: Instant
}

export class BeaconDirectory {
  readonly #beacons = new Map<number, Announced>()
  readonly #trustLocalSources: boolean

  /** `trustLocalSources`: beacons that connect from loopback or private addresses may announce any endpoint. */
  constructor(trustLocalSources: boolean) {
    this.#trustLocalSources = trustLocalSources
  }

  /**
   * Why the announcement is refused, or `undefined`. Deviation (spec/04 §22 W12): a beacon may announce only
   * the address it connects from, and only as an IP and a port.
   */
  announce(id: number, text: string, source: Endpoint, now: Instant): string | undefined {
    if (id === 0) return 'beacon_id required'
    if (text === '') return 'addr required'
    const endpoint = parseEndpoint(text)
    if (endpoint === undefined) return 'invalid addr: expected ip:port'
    const isTrusted = this.#trustLocalSources && isLocalAddress(source.address)
    if (!isTrusted && endpoint.address !== source.address)
      return 'invalid addr: must be the address the beacon connects from'
    this.sweep(now)
    const known = this.#beacons.get(id)
    if (known === undefined && this.#beacons.size >= BEACONS_MAX) return 'too many beacons'
    if (known !== undefined && known.source !== source.address)
      return 'beacon_id already announced from another address'
    this.#beacons.set(id, { endpoint: formatEndpoint(endpoint), source: source.address, at: now })
    return undefined
  }

  list(now: Instant): { id: number; addr: string }[] {
    this.sweep(now)
    return [...this.#beacons].map(([id, { endpoint }]) => ({ id, addr: endpoint }))
  }

  sweep(now: Instant): void {
    for (const [id, { at }] of this.#beacons)
      if (now - at >= BEACON_LIFETIME_MS) this.#beacons.delete(id)
  }
}
