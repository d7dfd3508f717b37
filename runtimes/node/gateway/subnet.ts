/** The IPv4 range whose addresses stand for nodes (spec/07 §9). */
import { UsageError } from '../../../core/errors.ts'

export const DEFAULT_SUBNET = '10.4.0.0/16'

export class Subnet {
  readonly text: string
  readonly #base: number
  readonly #size: number

  /** @throws {UsageError} `ERR_INVALID_ARGUMENT` unless it is `a.b.c.d/8` to `/30`. */
  constructor(text: string) {
    const match = /^(\d+\.\d+\.\d+\.\d+)\/(\d{1,2})$/.exec(text)
    const bits = Number(match?.[2])
    const address = match === null ? undefined : parseIp(match[1]!)
    if (address === undefined || bits < 8 || bits > 30)
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        `a subnet is a.b.c.d/8 to /30, got ${JSON.stringify(text)}`,
      )
    this.#size = 2 ** (32 - bits)
    this.#base = address - (address % this.#size)
    this.text = `${formatIp(this.#base)}/${bits}`
  }

  /** Addresses of this machine already: nothing has to be added to the interface. */
  get isLoopback(): boolean {
    return this.#base >>> 24 === 127
  }

  contains(ip: string): boolean {
    const address = parseIp(ip)
    return address !== undefined && address >= this.#base && address < this.#base + this.#size
  }

  /** First address that is not taken, in order from `.1`; neither the first nor the last of the range. */
  firstFree(isTaken: (ip: string) => boolean): string | undefined {
    for (let address = this.#base + 1; address < this.#base + this.#size - 1; address++) {
      const ip = formatIp(address)
      if (!isTaken(ip)) return ip
    }
    return undefined
  }
}

function parseIp(text: string): number | undefined {
  const parts = text.split('.')
  if (
    parts.length !== 4 ||
    !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)
  )
    return undefined
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0)
}

function formatIp(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.')
}

/** True for four decimal numbers without leading zeros. */
export function isIpv4(text: string): boolean {
  return parseIp(text) !== undefined
}
