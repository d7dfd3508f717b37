/** What `daemon start` hands to the daemon program: flags over configuration over environment (spec/08 §1.2, §4.1). */
import type { Cli } from './cli.ts'
import { textOf } from './config-file.ts'
import { usageError } from './failure.ts'
import { DEFAULT_REGISTRY, DEFAULT_SOCKET, defaultBeacon, defaultIdentityPath } from './paths.ts'
import { isTrue } from './values.ts'

/** As commander parsed them; booleans as text, `true` when without a value. */
export interface StartFlags {
  readonly config?: string
  readonly registry?: string
  readonly beacon?: string
  readonly transport?: string
  readonly rendezvousUrl?: string
  readonly webrtc?: string
  readonly iceServers?: string
  readonly wsListen?: string
  readonly wsUrl?: string
  readonly wsTlsCert?: string
  readonly wsTlsKey?: string
  readonly wsOrigins?: string
  readonly listen?: string
  readonly endpoint?: string
  readonly identity?: string
  readonly owner?: string
  readonly email?: string
  readonly hostname?: string
  readonly logLevel?: string
  readonly logFormat?: string
  readonly public?: string | boolean
  readonly foreground?: string | boolean
  /** False with `--no-encrypt`. */
  readonly encrypt?: boolean
  readonly socket?: string
  readonly keepalive?: string
  readonly idleTimeout?: string
  readonly timeWait?: string
  readonly adminToken?: string
  readonly plaintextPeers?: string
  readonly trustAutoApprove?: string | boolean
  readonly networks?: string
  readonly webhook?: string
  readonly nameserver?: string | boolean
  /** False with `--no-stdio`; so for the other services. */
  readonly stdio?: boolean
  readonly echo?: boolean
  readonly dataexchange?: boolean
  readonly eventstream?: boolean
  readonly tasksubmit?: boolean
  readonly registryTls?: string | boolean
  readonly registryFingerprint?: string
}

export interface StartSettings {
  readonly socket: string
  readonly hostname: string
  /** Arguments of `pilot-daemon`. */
  readonly argv: readonly string[]
}

export function startSettings(
  cli: Cli,
  flags: StartFlags,
  file: Record<string, unknown>,
): StartSettings {
  const { config } = cli
  const registry =
    flags.registry ??
    textOf(config, 'registry') ??
    (cli.io.env.PILOT_REGISTRY || undefined) ??
    textOf(file, 'registry') ??
    DEFAULT_REGISTRY
  const beacon =
    flags.beacon ??
    textOf(config, 'beacon') ??
    (cli.io.env.PILOT_BEACON || undefined) ??
    textOf(file, 'beacon') ??
    defaultBeacon(registry)
  const socket =
    flags.socket ??
    (cli.io.env.PILOT_SOCKET || undefined) ??
    textOf(config, 'socket') ??
    DEFAULT_SOCKET
  const hostname = flags.hostname ?? textOf(config, 'hostname') ?? ''
  const owner = flags.owner ?? flags.email ?? textOf(config, 'owner') ?? textOf(config, 'email')
  const isPublic =
    flags.public === undefined ? isTrue(config.public ?? 'false') : isTrue(flags.public)
  const argv = [
    `--registry=${registry}`,
    `--beacon=${beacon}`,
    `--socket=${socket}`,
    `--identity=${flags.identity ?? defaultIdentityPath(cli.paths.directory)}`,
    `--listen=${flags.listen ?? ':0'}`,
    `--log-level=${flags.logLevel ?? 'info'}`,
    `--log-format=${flags.logFormat ?? 'text'}`,
  ]
  const transport = flags.transport ?? textOf(config, 'transport')
  const rendezvousUrl = flags.rendezvousUrl ?? textOf(config, 'rendezvous_url')
  if (transport !== undefined) argv.push(`--transport=${transport}`)
  if (rendezvousUrl !== undefined) argv.push(`--rendezvous-url=${rendezvousUrl}`)
  if (flags.webrtc !== undefined) argv.push(`--webrtc=${flags.webrtc}`)
  if (flags.iceServers !== undefined) argv.push(`--ice-servers=${flags.iceServers}`)
  const webSocket = {
    'ws-listen': flags.wsListen,
    'ws-url': flags.wsUrl,
    'ws-tls-cert': flags.wsTlsCert,
    'ws-tls-key': flags.wsTlsKey,
    'ws-origins': flags.wsOrigins,
  }
  for (const [name, value] of Object.entries(webSocket))
    if (value !== undefined) argv.push(`--${name}=${value}`)
  if (hostname !== '') argv.push(`--hostname=${hostname}`)
  if (owner !== undefined) argv.push(`--owner=${owner}`)
  if (flags.keepalive !== undefined) argv.push(`--keepalive=${flags.keepalive}`)
  if (flags.idleTimeout !== undefined) argv.push(`--idle-timeout=${flags.idleTimeout}`)
  if (flags.timeWait !== undefined) argv.push(`--time-wait=${flags.timeWait}`)
  if (flags.endpoint !== undefined) argv.push(`--endpoint=${flags.endpoint}`)
  if (isPublic) argv.push('--public')
  if (flags.encrypt === false) argv.push('--encrypt=false')
  if (flags.plaintextPeers !== undefined) argv.push(`--plaintext-peers=${flags.plaintextPeers}`)
  const networks = flags.networks ?? textOf(config, 'networks')
  if (networks !== undefined) argv.push(`--networks=${networks}`)
  if (isTrue(flags.trustAutoApprove)) argv.push('--trust-auto-approve')
  const webhook = flags.webhook ?? textOf(config, 'webhook')
  if (webhook !== undefined && webhook !== '') argv.push(`--webhook=${webhook}`)
  if (isTrue(flags.nameserver)) argv.push('--nameserver')
  for (const service of ['stdio', 'echo', 'dataexchange', 'eventstream', 'tasksubmit'] as const)
    if (flags[service] === false) argv.push(`--no-${service}`)
  if (isTrue(flags.registryTls)) argv.push('--registry-tls')
  if (flags.registryFingerprint !== undefined)
    argv.push(`--registry-fingerprint=${flags.registryFingerprint}`)
  if (flags.logLevel !== undefined && !/^(debug|info|warn|error)$/.test(flags.logLevel))
    throw usageError('--log-level is one of debug, info, warn, error')
  if (flags.logFormat !== undefined && !/^(text|json)$/.test(flags.logFormat))
    throw usageError('--log-format is text or json')
  return { socket, hostname, argv }
}
