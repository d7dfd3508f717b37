/** Listening ports, and ephemeral ones for dials (spec/01 §1.3, spec/03 §6). */
import { EPHEMERAL_PORT_MAX, EPHEMERAL_PORT_MIN } from '../constants.ts'
import { UsageError } from '../errors.ts'

const EPHEMERAL_PORTS = EPHEMERAL_PORT_MAX - EPHEMERAL_PORT_MIN + 1

export class PortTable {
  readonly #listening = new Map<number, { connections: number }>()
  #next: number

  /** `start`: 0..1, random, so that a restarted node does not meet its old connections (spec/03 §6). */
  constructor(start: number) {
    this.#next = EPHEMERAL_PORT_MIN + Math.floor(start * EPHEMERAL_PORTS)
  }

  get size(): number {
    return this.#listening.size
  }

  /** @throws {UsageError} `ERR_INVALID_ARGUMENT` outside 1..65535, `ERR_PORT_IN_USE`. */
  listen(port: number): void {
    if (!Number.isInteger(port) || port < 1 || port > 0xffff)
      throw new UsageError('ERR_INVALID_ARGUMENT', `a port to listen on is 1 to 65535, got ${port}`)
    if (this.#listening.has(port))
      throw new UsageError('ERR_PORT_IN_USE', `port ${port} already bound`)
    this.#listening.set(port, { connections: 0 })
  }

  unlisten(port: number): void {
    this.#listening.delete(port)
  }

  isListening(port: number): boolean {
    return this.#listening.has(port)
  }

  /** Inbound connections of a port that count toward its limit. */
  connections(port: number): number {
    return this.#listening.get(port)?.connections ?? 0
  }

  countConnection(port: number, change: 1 | -1): void {
    const entry = this.#listening.get(port)
    if (entry !== undefined) entry.connections = Math.max(0, entry.connections + change)
  }

  /** The next ephemeral port that `isFree`, or `undefined` when all are taken. */
  allocate(isFree: (port: number) => boolean): number | undefined {
    for (let i = 0; i < EPHEMERAL_PORTS; i++) {
      const port = this.#next
      this.#next = port === EPHEMERAL_PORT_MAX ? EPHEMERAL_PORT_MIN : port + 1
      if (!this.#listening.has(port) && isFree(port)) return port
    }
    return undefined
  }
}
