/** What every command works with: output in both modes, configuration, the daemon (spec/08 §2). */
import { PORT } from '../../../core/constants.ts'
import { PilotError } from '../../../core/errors.ts'
import { type Address, formatAddress, parseAddress } from '../../../core/wire/address.ts'
import { DaemonClient } from '../ipc/client.ts'
import type { DaemonConnection } from '../ipc/client-connection.ts'
import { UNREACHABLE } from '../ipc/error-text.ts'
import { encodeJson } from '../ipc/json.ts'
import { type ConfigState, configFailure, readConfig, textOf } from './config-file.ts'
import { Deadline } from './deadline.ts'
import { CliError, messageOf, notRunning, plainReason, requestFailure } from './failure.ts'
import { isHopeless, type NodeFacts, nodeFacts } from './node-facts.ts'
import { DEFAULT_REGISTRY, DEFAULT_SOCKET, type PilotPaths, pilotPaths } from './paths.ts'
import { readProcessFile } from './process-file.ts'
import { printable } from './table.ts'
import { parseNodeId } from './values.ts'

/** Time for a dial that a private node would answer only if it trusted us, whatever we know of that. */
const HOPELESS_DIAL_MS = 4000

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
  /** Known for hostnames. */
  readonly isPublic: boolean | undefined
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

  /** @throws {CliError} `internal` for a file that cannot be understood: guessing would connect elsewhere. */
  get config(): ConfigState['values'] {
    this.#config ??= readConfig(this.paths.config)
    if (this.#config.problem !== undefined) throw configFailure(this.#config.problem)
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
    const { socketPath } = this
    try {
      this.#client = await DaemonClient.connect(socketPath)
    } catch (error) {
      const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException
      if (code === 'EACCES')
        throw new CliError(
          'not_running',
          `the daemon's socket ${socketPath} belongs to another user`,
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
    const { address, isPublic } = await this.resolve(typed)
    this.note(`resolved "${typed}" → ${address}`)
    return this.#named(parseAddress(address), typed, isPublic)
  }

  /** What the registry tells about a hostname. @throws {CliError} `not_found`, `connection_failed`. */
  async resolve(
    hostname: string,
  ): Promise<{ readonly nodeId: number; readonly address: string; readonly isPublic: boolean }> {
    const daemon = await this.daemon()
    try {
      return await daemon.resolveHostname(hostname)
    } catch (error) {
      throw this.#resolveFailure(hostname, error)
    }
  }

  /** As `target`, but the node id only. */
  async targetNode(typed: string): Promise<number> {
    return (await this.target(typed)).address.node
  }

  /**
   * What is known about a target.
   *
   * @throws {CliError} `invalid_argument` when it is this node itself; `not_found` when no such node exists.
   */
  async facts(target: Target): Promise<NodeFacts> {
    const { node } = target.address
    const facts = await nodeFacts(await this.daemon(), node, { isPublic: target.isPublic })
    if (facts.isSelf === true)
      throw new CliError(
        'invalid_argument',
        `${target.typed} is this node itself (node ${node})`,
        readProcessFile(this.paths.pid) === undefined
          ? `the daemon on ${this.socketPath} answers; for one of your own: pilotctl daemon start`
          : 'name another node; those trusted are listed by: pilotctl trust',
      )
    if (facts.isRegistered === false)
      throw new CliError(
        'not_found',
        `no node ${node} is registered`,
        'a hostname is easier to get right: pilotctl find <hostname>',
      )
    return facts
  }

  /**
   * Opens a stream, or says why it could not be.
   *
   * @throws {CliError} `connection_failed`; `place` stands for the port in the message. Those of `facts`.
   */
  async dial(
    target: Target,
    port: number,
    options: { readonly place?: string; readonly signal?: AbortSignal } = {},
  ): Promise<DaemonConnection> {
    const facts = await this.facts(target)
    try {
      return await this.dialKnown(target, port, facts, options.signal ?? this.io.signal)
    } catch (error) {
      throw this.dialFailure(target, facts, options.place ?? `port ${port}`, port, error)
    }
  }

  /** Without words for people: the daemon's own error. A dial that has no hope is not waited for long. */
  async dialKnown(
    { address }: Target,
    port: number,
    facts: NodeFacts,
    signal: AbortSignal,
  ): Promise<DaemonConnection> {
    const daemon = await this.daemon()
    using limit = new Deadline(isHopeless(facts) ? HOPELESS_DIAL_MS : 0, signal)
    return await daemon.dial({ address, port }, { signal: limit.signal })
  }

  dialFailure(
    target: Target,
    facts: NodeFacts,
    place: string,
    port: number,
    error: unknown,
  ): CliError {
    if (error instanceof CliError) return error
    if (error instanceof PilotError && error.code === 'ERR_DAEMON_UNAVAILABLE')
      return requestFailure('connect', error)
    const [why, hint] = this.explainDial(target, facts, port, error)
    const isLate = isAborted(error) && !isHopeless(facts)
    return new CliError(
      isLate ? 'timeout' : 'connection_failed',
      `cannot connect to ${target.text} ${place}: ${why}`,
      hint,
      { cause: error },
    )
  }

  /** Why, and what a person can do about it: the daemon's text alone does not tell (spec/08 §9). */
  explainDial(
    { address, text, typed }: Target,
    facts: NodeFacts,
    port: number,
    error: unknown,
  ): [why: string, hint: string] {
    const reason = messageOf(error)
    const ping = `check that ${text} is reachable: pilotctl ping ${text}`
    const trust = `establish trust first: pilotctl handshake ${typed} "reason"`
    if (reason === 'connection refused')
      return ['connection refused (nothing listens there)', whoAnswers(port)]
    const isUnresolved = reason.startsWith('resolve node')
    const isSilent = isAborted(error) || reason === 'dial timeout'
    if (!isUnresolved && !isSilent) return [reason, ping]
    if (facts.isAsked)
      return [
        `the request for trust is sent, and waits for approval by node ${address.node}`,
        `over there: pilotctl approve ${facts.ownId ?? '<this node>'}`,
      ]
    if (isUnresolved && reason.includes(UNREACHABLE))
      return [`the registry ${plainResolve(reason)}`, 'check its address: pilotctl info']
    if (facts.isTrusted === false && facts.isPublic === false)
      return [`node ${address.node} is private and does not trust this node`, trust]
    if (facts.isTrusted === false && facts.isPublic === undefined)
      return [`node ${address.node} is unknown, or private and does not trust this node`, trust]
    return isUnresolved
      ? [reason, ping]
      : ['no answer in time', `is its daemon running? ${ping.replace('check that', 'see whether')}`]
  }

  #resolveFailure(typed: string, error: unknown): CliError {
    if (error instanceof PilotError && error.code === 'ERR_DAEMON_UNAVAILABLE')
      return requestFailure('resolve', error)
    const text = plainReason(messageOf(error))
    if (text.startsWith(UNREACHABLE)) return requestFailure(`resolve "${typed}"`, error)
    return new CliError(
      'not_found',
      `cannot find "${typed}" — no node of this hostname is registered`,
      `is its daemon running with that name? over there: pilotctl daemon start --hostname ${typed}`,
      { cause: error },
    )
  }

  #named(address: Address, typed: string, isPublic?: boolean): Target {
    return { address, text: formatAddress(address), typed, isPublic }
  }
}

/** How somebody comes to answer on a port over there. */
function whoAnswers(port: number): string {
  const isService = port === PORT.echo || port === PORT.dataExchange || port === PORT.eventStream
  return isService ? 'its daemon runs without that service' : `over there: pilotctl recv ${port}`
}

function isAborted(error: unknown): boolean {
  return error instanceof PilotError && error.code === 'ERR_ABORTED'
}

/** `resolve node 5: registry: cannot be reached: why` becomes `cannot be reached: why`. */
function plainResolve(reason: string): string {
  return plainReason(reason.replace(/^resolve node \d+: /, ''))
}
