/** What every command works with: output in both modes, configuration, the daemon (spec/08 §2). */
import { PilotError } from '../../../core/errors.ts'
import {
  type Address,
  formatAddress,
  parseAddress,
  type SocketAddress,
} from '../../../core/wire/address.ts'
import { DaemonClient } from '../ipc/client.ts'
import type { DaemonConnection } from '../ipc/client-connection.ts'
import { encodeJson } from '../ipc/json.ts'
import { type ConfigState, readConfig, textOf } from './config-file.ts'
import { CliError, messageOf, notRunning, requestFailure } from './failure.ts'
import { DEFAULT_REGISTRY, DEFAULT_SOCKET, type PilotPaths, pilotPaths } from './paths.ts'
import { printable } from './table.ts'
import { parseNodeId } from './values.ts'

/** The process around a command; tests bring their own. */
export interface CliIo {
  stdout(text: string): void
  stderr(text: string): void
  readonly stdin: AsyncIterable<Uint8Array>
  readonly isStdinTerminal: boolean
  /** What peers wrote is then shown without control characters. */
  readonly isStdoutTerminal: boolean
  readonly isStderrTerminal: boolean
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal
}

export interface Target {
  readonly address: Address
  /** `N:NNNN.HHHH.LLLL` */
  readonly text: string
  /** As the user wrote it. */
  readonly typed: string
}

export class Cli {
  readonly io: CliIo
  readonly json: boolean
  readonly paths: PilotPaths
  exitCode = 0
  #config: ConfigState | undefined
  #client: DaemonClient | undefined

  constructor(io: CliIo, json: boolean) {
    this.io = io
    this.json = json
    this.paths = pilotPaths(io.home)
  }

  /** One line of JSON, or what people read; without `lines` the object itself, indented. */
  result(data: Record<string, unknown>, lines?: readonly string[]): void {
    if (this.json) this.io.stdout(`${encodeJson({ status: 'ok', data })}\n`)
    else if (lines === undefined) this.io.stdout(`${encodeJson(data, 2)}\n`)
    else if (lines.length > 0) this.line(lines.join('\n'))
  }

  /** A line of its own, while the command goes on. */
  line(text: string): void {
    this.io.stdout(`${this.io.isStdoutTerminal ? printable(text) : text}\n`)
  }

  /** Progress and notices: standard error, for people only. */
  note(text: string): void {
    if (!this.json) this.io.stderr(`${printable(text)}\n`)
  }

  fail(error: unknown): void {
    const failure = error instanceof CliError ? error : new CliError('internal', messageOf(error))
    if (this.json) {
      const { code, message, hint } = failure
      this.io.stderr(
        `${encodeJson({ status: 'error', code, message, ...(hint !== undefined && { hint }) })}\n`,
      )
    } else {
      this.io.stderr(`error: ${printable(failure.message)}\n`)
      if (failure.hint !== undefined) this.io.stderr(`hint:  ${printable(failure.hint)}\n`)
    }
    this.exitCode = 1
  }

  /** The operation did not do what was asked, but scripts of the reference expect 0 from `--json`. */
  failSoftly(isStrict: boolean): void {
    if (!this.json || isStrict) this.exitCode = 1
  }

  get config(): ConfigState['values'] {
    if (this.#config === undefined) {
      this.#config = readConfig(this.paths.config)
      if (this.#config.problem !== undefined) this.note(`warning: ${this.#config.problem}; ignored`)
    }
    return this.#config.values
  }

  get socketPath(): string {
    const fromEnv = this.io.env.PILOT_SOCKET
    if (fromEnv !== undefined && fromEnv !== '') return fromEnv
    return textOf(this.config, 'socket') ?? DEFAULT_SOCKET
  }

  /** For commands that talk to the registry themselves. */
  get registry(): string {
    const fromEnv = this.io.env.PILOT_REGISTRY
    if (fromEnv !== undefined && fromEnv !== '') return fromEnv
    return textOf(this.config, 'registry') ?? DEFAULT_REGISTRY
  }

  /** @throws {CliError} `not_running`. */
  async daemon(): Promise<DaemonClient> {
    if (this.#client !== undefined) return this.#client
    try {
      this.#client = await DaemonClient.connect(this.socketPath)
    } catch (error) {
      const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException
      if (code === 'EACCES')
        throw new CliError(
          'not_running',
          `the daemon's socket ${this.socketPath} belongs to another user`,
          'run pilotctl as that user, or start a daemon of your own with: pilotctl daemon start --socket <path>',
        )
      throw notRunning(error)
    }
    return this.#client
  }

  /** Closes the daemon's socket after what was written is on its way. */
  async close(): Promise<void> {
    await this.#client?.close()
  }

  /** Runs one request; its failure is reported under `label`. */
  async request<T>(label: string, work: (daemon: DaemonClient) => Promise<T>): Promise<T> {
    const daemon = await this.daemon()
    try {
      return await work(daemon)
    } catch (error) {
      throw requestFailure(label, error)
    }
  }

  /**
   * Address of an address text, a decimal node id or a hostname.
   *
   * @throws {CliError} `not_found` for a hostname nobody has, `invalid_argument` for a bad address.
   */
  async target(typed: string): Promise<Target> {
    const nodeId = parseNodeId(typed)
    if (nodeId !== undefined) return this.#named({ network: 0, node: nodeId }, typed)
    if (typed.includes(':')) {
      try {
        return this.#named(parseAddress(typed), typed)
      } catch (error) {
        throw new CliError('invalid_argument', messageOf(error))
      }
    }
    const daemon = await this.daemon()
    let address: string
    try {
      address = (await daemon.resolveHostname(typed)).address
    } catch (error) {
      throw await this.#resolveFailure(typed, error)
    }
    this.note(`resolved "${typed}" → ${address}`)
    return this.#named(parseAddress(address), typed)
  }

  /** As `target`, but the node id only. */
  async targetNode(typed: string): Promise<number> {
    return (await this.target(typed)).address.node
  }

  /**
   * Opens a stream, or says why it could not be.
   *
   * @throws {CliError} `connection_failed`; `place` stands for the port in the message.
   */
  async dial(
    target: Target,
    port: number,
    options: { readonly place?: string; readonly signal?: AbortSignal } = {},
  ): Promise<DaemonConnection> {
    const daemon = await this.daemon()
    const to: SocketAddress = { address: target.address, port }
    try {
      return await daemon.dial(to, options.signal === undefined ? {} : { signal: options.signal })
    } catch (error) {
      throw await this.dialFailure(target, options.place ?? `port ${port}`, error)
    }
  }

  async dialFailure(target: Target, place: string, error: unknown): Promise<CliError> {
    if (error instanceof CliError) return error
    const reason = messageOf(error)
    if (error instanceof PilotError && error.code === 'ERR_ABORTED')
      return new CliError('timeout', `cannot connect to ${target.text} ${place}: no answer in time`)
    const [why, hint] = await this.#explainDial(target, reason)
    return new CliError(
      'connection_failed',
      `cannot connect to ${target.text} ${place}: ${why}`,
      hint,
      { cause: error },
    )
  }

  /** What a person can do about it: the daemon's text alone does not tell (spec/08 §9). */
  async #explainDial(target: Target, reason: string): Promise<[why: string, hint: string]> {
    const ping = `check that ${target.text} is reachable: pilotctl ping ${target.text}`
    if (reason === 'connection refused') return ['connection refused (nothing listens there)', ping]
    if (!reason.startsWith('resolve node')) return [reason, ping]
    const facts = await this.#trustFacts(target.address.node)
    if (facts.registryReachable === false)
      return [
        `${reason}; the registry cannot be reached`,
        'check the registry address: pilotctl info',
      ]
    if (facts.isTrusted === false)
      return [
        `${reason}; node ${target.address.node} is unknown, or private and does not trust this node`,
        `establish trust first: pilotctl handshake ${target.typed} "reason"`,
      ]
    return [reason, ping]
  }

  async #trustFacts(nodeId: number): Promise<{ isTrusted?: boolean; registryReachable?: boolean }> {
    try {
      const daemon = await this.daemon()
      const info = await daemon.info()
      const { trusted } = await daemon.requestJson({ type: 'trust-list' })
      const isTrusted = Array.isArray(trusted) && trusted.some((peer) => peer?.node_id === nodeId)
      return typeof info.registry_reachable === 'boolean'
        ? { isTrusted, registryReachable: info.registry_reachable }
        : { isTrusted }
    } catch {
      return {}
    }
  }

  async #resolveFailure(typed: string, error: unknown): Promise<CliError> {
    if (error instanceof PilotError && error.code === 'ERR_DAEMON_UNAVAILABLE')
      return requestFailure('resolve', error)
    const { registryReachable } = await this.#trustFacts(0)
    return new CliError(
      'not_found',
      `cannot resolve "${typed}" — ${
        registryReachable === false
          ? 'the registry cannot be reached'
          : 'is the hostname correct? (no node of this name is registered)'
      }`,
      undefined,
      { cause: error },
    )
  }

  #named(address: Address, typed: string): Target {
    return { address, text: formatAddress(address), typed }
  }
}
