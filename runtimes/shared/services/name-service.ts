/** The nameserver on port 53 and its client (spec/07 §2). */
import { concat, lossyUtf8, utf8 } from '../../../core/bytes.ts'
import { PORT } from '../../../core/constants.ts'
import { NetworkError, PilotError } from '../../../core/errors.ts'
import {
  formatNameRequest,
  NAME_REQUEST_BYTES_MAX,
  type NamedService,
  type NameReply,
  type NameRequest,
  parseNameReply,
} from '../../../core/service/name-message.ts'
import type { NameTable } from '../../../core/service/name-table.ts'
import { type Address, formatAddress, parseAddress } from '../../../core/wire/address.ts'
import type { DialOptions, PilotConnection, PilotNode } from '../api.ts'
import { AsyncStream } from './async-stream.ts'
import { ConnectionGate } from './connection-gate.ts'

export interface NameServiceOptions {
  readonly table: NameTable
  /** In ms, monotonic. */
  readonly now: () => number
  readonly setTimer: (work: () => void, ms: number) => () => void
}

const REQUEST_MS = 60_000
/** For the requester to close first: what we wrote is then surely there (spec/07 §0.1). */
const CLOSE_MS = 2000
const CONNECTIONS_MAX = 256
const PER_PEER_MAX = 32

export class NameService {
  readonly #options: NameServiceOptions
  readonly #gate = new ConnectionGate(CONNECTIONS_MAX, PER_PEER_MAX)

  constructor(options: NameServiceOptions) {
    this.#options = options
  }

  /** Answers one request. Never throws. */
  serve(connection: PilotConnection): void {
    this.#gate.admit(connection, (one) => this.#run(one))
  }

  async #run(connection: PilotConnection): Promise<void> {
    const { table, now, setTimer } = this.#options
    const stream = new AsyncStream(connection)
    let stopTimer = setTimer(() => connection.reset(), REQUEST_MS)
    try {
      // Requests have no end: one is what comes first, as in the reference; it fits one segment of anybody.
      const request = await stream.read()
      if (request !== undefined) {
        const reply =
          request.length > NAME_REQUEST_BYTES_MAX
            ? `ERR request too long: ${request.length} bytes (max ${NAME_REQUEST_BYTES_MAX})`
            : table.handle(request, connection.remote.address, now())
        await stream.write(utf8(reply))
        stopTimer()
        stopTimer = setTimer(() => connection.close(), CLOSE_MS)
        await stream.read()
      }
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
    } finally {
      stopTimer()
      connection.close()
    }
  }
}

export interface NameClientOptions {
  readonly node: Pick<PilotNode, 'dial'>
  /** The node whose nameserver is asked. */
  readonly server: Address
  readonly setTimer: (work: () => void, ms: number) => () => void
}

/** Beyond this a reply is not read on. */
const REPLY_BYTES_MAX = 65_535
const REPLY_MS = 10_000
/** Behind a reply of services more of it may come; all others fit the first bytes. */
const SILENCE_MS = 100

/** One stream per call. Every method throws what `dial` throws, `ERR_TIMEOUT`, `ERR_NAMESERVER` and `ERR_WIRE_VALUE`. */
export class NameClient {
  readonly #options: NameClientOptions

  constructor(options: NameClientOptions) {
    this.#options = options
  }

  /** `undefined` when nobody has the name. */
  async address(name: string, options?: DialOptions): Promise<Address | undefined> {
    const reply = await this.#ask({ type: 'query-address', name }, options)
    return reply?.type === 'address' ? parseAddress(reply.address) : undefined
  }

  /** Number of a network; `undefined` when nobody has the name. */
  async network(name: string, options?: DialOptions): Promise<number | undefined> {
    const reply = await this.#ask({ type: 'query-network', name }, options)
    return reply?.type === 'network' ? reply.network : undefined
  }

  async services(
    network: number,
    port: number,
    options?: DialOptions,
  ): Promise<readonly NamedService[]> {
    const reply = await this.#ask({ type: 'query-services', network, port }, options)
    return reply?.type === 'services' ? reply.services : []
  }

  /** For five minutes. */
  async registerAddress(name: string, address: Address, options?: DialOptions): Promise<void> {
    await this.#ask({ type: 'register-address', name, address: formatAddress(address) }, options)
  }

  async registerNetwork(name: string, network: number, options?: DialOptions): Promise<void> {
    await this.#ask({ type: 'register-network', name, network }, options)
  }

  async registerService(
    service: NamedService & { readonly network: number },
    options?: DialOptions,
  ): Promise<void> {
    const { name, network, port } = service
    const address = formatAddress(service.address)
    await this.#ask({ type: 'register-service', name, address, network, port }, options)
  }

  /** `undefined`: there is no such name. */
  async #ask(request: NameRequest, options?: DialOptions): Promise<NameReply | undefined> {
    const text = formatNameRequest(request)
    const { node, server, setTimer } = this.#options
    const connection = await node.dial({ address: server, port: PORT.names }, options)
    let isLate = false
    const stopTimer = setTimer(() => {
      isLate = true
      connection.reset()
    }, REPLY_MS)
    let reply: NameReply
    try {
      const stream = new AsyncStream(connection)
      await stream.write(utf8(text))
      reply = parseNameReply(await this.#read(stream))
    } catch (error) {
      if (!isLate) throw error
      throw new NetworkError('ERR_TIMEOUT', 'the nameserver did not answer in 10 s')
    } finally {
      stopTimer()
      connection.close()
    }
    if (reply.type !== 'error') return reply
    if (request.type.startsWith('query') && reply.reason.endsWith(' not found')) return undefined
    throw new NetworkError('ERR_NAMESERVER', `the nameserver says: ${reply.reason}`)
  }

  async #read(stream: AsyncStream): Promise<string> {
    const chunks: Uint8Array[] = []
    let length = 0
    for (;;) {
      const next = stream.read()
      const chunk = chunks.length === 0 ? await next : await this.#soon(next)
      if (chunk === undefined) break
      chunks.push(chunk)
      length += chunk.length
      if (chunks[0]![0] !== SERVICES || length >= REPLY_BYTES_MAX) break
    }
    if (length === 0)
      throw new NetworkError('ERR_CONNECTION_CLOSED', 'the nameserver closed without an answer')
    return lossyUtf8(concat(...chunks))
  }

  #soon(next: Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      const stopTimer = this.#options.setTimer(() => resolve(undefined), SILENCE_MS)
      void next.then((chunk) => {
        stopTimer()
        resolve(chunk)
      })
    })
  }
}

/** `S`. */
const SERVICES = 0x53
