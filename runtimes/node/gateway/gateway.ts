/** Local IP addresses that stand for nodes: TCP to one goes to the same port of its node (spec/07 §9). */
import { createServer, type Server, type Socket } from 'node:net'
import { StorageError, UsageError } from '../../../core/errors.ts'
import { type Address, formatAddress } from '../../../core/wire/address.ts'
import { LoopbackAliases } from './loopback-aliases.ts'
import { isIpv4, Subnet } from './subnet.ts'
import { type GatewayStream, proxyTcp } from './tcp-proxy.ts'

export const DEFAULT_PORTS: readonly number[] = [80, 443, 1000, 1001, 1002, 7, 8080, 8443]

export type GatewayDial = (to: {
  readonly address: Address
  readonly port: number
}) => Promise<GatewayStream>

export interface GatewayOptions {
  /** Default `10.4.0.0/16`. */
  readonly subnet?: string
  readonly ports?: readonly number[]
  readonly dial: GatewayDial
  /** Where to note the addresses added to the loopback interface. */
  readonly aliasNotePath: string
  /** What did not work, for people. */
  readonly warn: (text: string) => void
}

export interface Mapping {
  readonly localIp: string
  readonly address: Address
  /** Ports that are listened on. */
  readonly ports: readonly number[]
}

interface Entry extends Mapping {
  readonly servers: readonly Server[]
  readonly sockets: Set<Socket>
}

const MAPPINGS_MAX = 1024
/** TCP connections at once; more are reset. */
const CONNECTIONS_MAX = 512

export class Gateway {
  readonly #options: GatewayOptions
  readonly #subnet: Subnet
  readonly #ports: readonly number[]
  readonly #aliases: LoopbackAliases
  readonly #entries = new Map<string, Entry>()
  #connections = 0
  /** Changes of the table, one after the other. */
  #changing: Promise<unknown> = Promise.resolve()

  /** @throws {UsageError} `ERR_INVALID_ARGUMENT` for subnet and ports. */
  constructor(options: GatewayOptions) {
    this.#options = options
    this.#subnet = new Subnet(options.subnet ?? '10.4.0.0/16')
    this.#ports = options.ports ?? DEFAULT_PORTS
    if (this.#ports.length === 0 || this.#ports.some((port) => !(port > 0 && port < 65_536)))
      throw new UsageError('ERR_INVALID_ARGUMENT', 'ports are 1 to 65535')
    this.#aliases = new LoopbackAliases(options.aliasNotePath)
  }

  get subnet(): string {
    return this.#subnet.text
  }

  /** Removes what a gateway that was killed left on the interface; call before the first `map`. */
  async prepare(): Promise<void> {
    const left = await this.#aliases.removeLeftOver()
    if (left > 0) this.#options.warn(`removed ${left} addresses that a former gateway left`)
  }

  /** In the order in which they were made. */
  list(): readonly Mapping[] {
    return [...this.#entries.values()].map(({ localIp, address, ports }) => ({
      localIp,
      address,
      ports,
    }))
  }

  /**
   * Gives a node a local address, the one it has if it has one, and listens there.
   *
   * @throws {UsageError} `ERR_INVALID_ARGUMENT` for the address, `ERR_LIMIT` when all are taken.
   * @throws {StorageError} `ERR_GATEWAY` when the address cannot be made, or no port of it be listened on.
   */
  map(address: Address, wanted?: string): Promise<Mapping> {
    return this.#oneAtATime(() => this.#map(address, wanted))
  }

  /** @throws {UsageError} `ERR_NOT_MAPPED`. */
  unmap(ip: string): Promise<void> {
    return this.#oneAtATime(async () => {
      const entry = this.#entries.get(ip)
      if (entry === undefined) throw new UsageError('ERR_NOT_MAPPED', `no mapping for ${ip}`)
      this.#entries.delete(ip)
      await this.#end(entry)
    })
  }

  /** Ends every connection and removes every address. */
  close(): Promise<void> {
    return this.#oneAtATime(async () => {
      const entries = [...this.#entries.values()]
      this.#entries.clear()
      for (const entry of entries) await this.#end(entry)
    })
  }

  async #map(address: Address, wanted: string | undefined): Promise<Mapping> {
    const text = formatAddress(address)
    for (const entry of this.#entries.values())
      if (formatAddress(entry.address) === text && (wanted ?? entry.localIp) === entry.localIp)
        return entry
    if (wanted !== undefined) {
      if (!isIpv4(wanted))
        throw new UsageError('ERR_INVALID_ARGUMENT', `invalid IP: ${wanted.slice(0, 64)}`)
      if (!this.#subnet.contains(wanted))
        throw new UsageError('ERR_INVALID_ARGUMENT', `IP ${wanted} not in subnet ${this.subnet}`)
      if (this.#entries.has(wanted))
        throw new UsageError('ERR_INVALID_ARGUMENT', `IP ${wanted} already mapped`)
    }
    const localIp = wanted ?? this.#subnet.firstFree((ip) => this.#entries.has(ip))
    if (localIp === undefined || this.#entries.size >= MAPPINGS_MAX)
      throw new UsageError('ERR_LIMIT', 'subnet exhausted')
    if (!this.#subnet.isLoopback) await this.#aliases.add(localIp)
    const sockets = new Set<Socket>()
    const servers: Server[] = []
    const ports: number[] = []
    for (const port of this.#ports) {
      const server = createServer({ allowHalfOpen: true }, (socket) =>
        this.#accept(socket, sockets, { address, port }),
      )
      try {
        await listening(server, localIp, port)
        servers.push(server)
        ports.push(port)
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        this.#options.warn(`cannot listen on ${localIp}:${port} (${code ?? error})`)
      }
    }
    const entry = { localIp, address, ports, servers, sockets }
    if (ports.length === 0) {
      await this.#end(entry)
      throw new StorageError('ERR_GATEWAY', `none of the ports of ${localIp} can be listened on`)
    }
    this.#entries.set(localIp, entry)
    return entry
  }

  #accept(socket: Socket, sockets: Set<Socket>, to: { address: Address; port: number }): void {
    socket.on('error', () => {})
    if (this.#connections >= CONNECTIONS_MAX) {
      socket.resetAndDestroy()
      return
    }
    this.#connections++
    sockets.add(socket)
    socket.once('close', () => {
      sockets.delete(socket)
      this.#connections--
    })
    void this.#carry(socket, to)
  }

  async #carry(socket: Socket, to: { address: Address; port: number }): Promise<void> {
    let stream: GatewayStream
    try {
      stream = await this.#options.dial(to)
    } catch {
      socket.resetAndDestroy()
      return
    }
    await proxyTcp(socket, stream)
  }

  async #end({ localIp, servers, sockets }: Omit<Entry, 'ports' | 'address'>): Promise<void> {
    for (const socket of sockets) socket.destroy()
    await Promise.all(
      servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    )
    await this.#aliases.remove(localIp)
  }

  #oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#changing.then(work)
    this.#changing = done.catch(() => {})
    return done
  }
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      server.on('error', () => {})
      resolve()
    })
  })
}
