/** One object per address and port, as `DatagramSocket.ondatagram` promises: an endpoint is looked up, not made. */
import type { Endpoint } from '../../core/machine.ts'

/** Beyond, it begins anew: objects in use stay alive where they are used, and equal endpoints compare by value. */
const ENDPOINTS_MAX = 65_536

export class EndpointPool {
  #endpoints = new Map<string, Map<number, Endpoint>>()
  #count = 0

  get(address: string, port: number): Endpoint {
    let ports = this.#endpoints.get(address)
    let endpoint = ports?.get(port)
    if (endpoint !== undefined) return endpoint
    if (++this.#count > ENDPOINTS_MAX) {
      this.#endpoints = new Map()
      this.#count = 1
      ports = undefined
    }
    if (ports === undefined) {
      ports = new Map()
      this.#endpoints.set(address, ports)
    }
    endpoint = { address, port }
    ports.set(port, endpoint)
    return endpoint
  }
}
