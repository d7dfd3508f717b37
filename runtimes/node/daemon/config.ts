/** Flags of `pilot-daemon` (spec/08 §5): one dash or two, `-flag value` or `-flag=value`, a JSON file behind them. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { CONGESTION_NAMES, type CongestionName, parseEndpoint } from '../../../core/index.ts'
import type { Transport } from '../../shared/host-node.ts'
import { parseListen } from '../../shared/places.ts'
import type { IceServer } from '../../shared/rtc/peer-connection.ts'
import { rendezvousUrls } from '../../shared/web-socket.ts'
import { normalizeArguments } from '../cli/arguments.ts'
import { messageOf } from '../cli/failure.ts'
import { plainHelp } from '../cli/help.ts'
import {
  DEFAULT_REGISTRY,
  DEFAULT_SOCKET,
  defaultBeacon,
  defaultIdentityPath,
  pilotPaths,
} from '../cli/paths.ts'
import { isTrue, parseDuration } from '../cli/values.ts'
import { parseHostPort } from '../create-node.ts'
import { WEBRTC_CHOICES, type WebRtcChoice } from '../rtc/backend.ts'
import { VERSION } from '../version.ts'
import type { WebRtcOptions } from '../web-rtc.ts'
import { checkWebSocketOptions, type WebSocketPathOptions } from '../web-socket-options.ts'
import { parseWebhookUrl } from '../webhook/webhook-url.ts'
import { LOG_LEVELS, type LogFormat, type LogLevel } from './log.ts'

export interface DaemonConfig {
  readonly registry: string
  /** `false`: none. */
  readonly beacon: string | false
  readonly transport: Transport
  readonly rendezvousUrl: string | undefined
  readonly webRtc: WebRtcOptions
  readonly webSocket: WebSocketPathOptions
  readonly listen: string
  readonly socket: string
  readonly endpoint: string | undefined
  /** Bytes; `undefined` for what the interface carries. */
  readonly datagramBytesMax: number | undefined
  /** False: never, else where they are to be had. */
  readonly native: boolean
  readonly encrypt: boolean
  readonly plaintextPeers: ReadonlySet<number>
  readonly registryFingerprint: string | undefined
  /** `undefined`: a new key every start. */
  readonly identity: string | undefined
  readonly owner: string
  readonly hostname: string
  readonly isPublic: boolean
  readonly autoApprove: boolean
  /** Joined at the start. */
  readonly networks: readonly number[]
  /** Of the registry, `''` for none. */
  readonly adminToken: string
  readonly keepaliveMs: number
  /** `undefined`: not named, and streams have their own. */
  readonly streamKeepaliveMs: number | undefined
  /** `undefined`: streams are kept however idle. */
  readonly idleTimeoutMs: number | undefined
  readonly timeWaitMs: number
  readonly congestion: CongestionName
  readonly synRateLimit: number
  readonly maxConnectionsPerPort: number
  readonly maxConnections: number
  readonly services: {
    readonly echo: boolean
    readonly dataExchange: boolean
    readonly eventStream: boolean
    readonly stdio: boolean
    readonly taskSubmit: boolean
    readonly nameserver: boolean
  }
  /** `''`: none. */
  readonly webhook: string
  /** Signs what goes there, `''` for not. */
  readonly webhookSecret: string
  readonly logLevel: LogLevel
  readonly logFormat: LogFormat
  readonly logFile: string | undefined
}

/** Either a configuration, or what to print and the exit code: 0 for help and version, 2 for a bad flag. */
export type ParsedArguments =
  | { readonly config: DaemonConfig; readonly warnings: readonly string[] }
  /** `reason`: the text without the program's name. */
  | { readonly exitCode: 0 | 2; readonly text: string; readonly reason: string }

const PROGRAM = 'pilot-daemon'
const KEEPALIVE_MS = 30_000
const TIME_WAIT_MS = 10_000
const DURATION_MAX_MS = 86_400_000

/** What the flags alone do not tell. */
const daemonNotes = `
Flags take one dash or two, and "-flag value" or "-flag=value". A boolean is on
when it is named; "-encrypt=false" turns one off. Members of the -config file
are flag names (with - or _); flags given here win over them.

Rendezvous: there is no public default. Without -registry the daemon looks for
one on ${DEFAULT_REGISTRY}; start it with: pilot-rendezvous

Port 1000: what a peer writes there (pilotctl connect agent-a --message "hi") is
stored in ~/.pilot/inbox and acknowledged with "ACK TEXT <n> bytes". A program
that binds port 1000 takes it over; when it lets go, the daemon answers again.

Examples:
  pilot-daemon -hostname agent-a
  pilot-daemon -registry rendezvous.example:9000 -public -log-level debug
  pilot-daemon -socket /tmp/second.sock -identity /tmp/second/identity.json

Without UDP: "-transport compat -rendezvous-url wss://..." reaches the registry
through the same URL; -registry and -beacon are not used then. Proxies are taken
from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.

Browsers: a page of a trusted peer gets a direct path by WebRTC where a package
for it is installed (-webrtc), and by WebSocket with -ws-listen. The page learns
the addresses through the tunnel; a page from https needs wss:// (-ws-url, or
-ws-tls-cert and -ws-tls-key) unless it is on this machine. Who connects there
proves a trusted peer's key, and can then only send that peer's sealed frames.

Exit codes: 0 stopped by SIGINT or SIGTERM, 1 fatal error, 2 bad flag.`

function createCommand(): Command {
  return plainHelp(new Command(PROGRAM))
    .description(
      'Daemon of one Pilot node: keeps its tunnels, trust and streams, and serves local\nprograms on a Unix socket. In the background it is run by: pilotctl daemon start',
    )
    .usage('[flags]')
    .optionsGroup('Network:')
    .option('--registry <host:port>', 'registry', DEFAULT_REGISTRY)
    .option('--registry-tls [bool]', 'speak TLS to it; needs -registry-fingerprint')
    .option('--registry-fingerprint <hex>', 'SHA-256 of its certificate')
    .option(
      '--beacon <host:port>',
      'beacon, "" for none (default: the host of the registry, port 9001)',
    )
    .option(
      '--transport <name>',
      'udp; compat: WebSockets of -rendezvous-url only; auto: compat where the beacon does not answer',
      'udp',
    )
    .option('--rendezvous-url <url>', 'wss:// or ws:// URL, for compat and auto')
    .option(
      '--webrtc <name>',
      'direct paths to browsers: native (node-datachannel), werift, auto (what is installed), off',
      'auto',
    )
    .option(
      '--ice-servers <urls>',
      'STUN and TURN for it, comma between: stun:host:port; "none" for none (default: the beacon)',
    )
    .option(
      '--ws-listen <ip:port>',
      'take WebSockets of trusted peers, browsers above all (default: none)',
    )
    .option('--ws-url <urls>', 'public URLs of it, comma between: wss://name of a reverse proxy')
    .option('--ws-tls-cert <file>', 'PEM certificate, to speak TLS there; needs -ws-tls-key')
    .option('--ws-tls-key <file>', 'PEM key of it')
    .option(
      '--ws-origins <origins>',
      'only pages of these, comma between (default: any page of a trusted peer)',
    )
    .option('--listen <ip:port>', 'UDP address; port 0 is any free one', ':0')
    .option(
      '--endpoint <ip:port>',
      'public UDP address to register instead of what the beacon sees',
    )
    .option(
      '--datagram-max <bytes>',
      'largest UDP payload to try toward our kind; 1232 never tries (default: the interface’s)',
    )
    .option(
      '--keepalive <duration>',
      'heartbeat to the registry, 30s; named, also how often silent streams are kept open (else 45s)',
    )
    .optionsGroup('This node:')
    .option(
      '--identity <path>',
      'identity file, made if missing; "" for a new key every start (default: ~/.pilot/identity.json)',
    )
    .option('--hostname <name>', 'name at the registry', '')
    .option('--owner <text>', 'owner, e.g. an e-mail address', '')
    .option('--email <text>', 'same as -owner')
    .option('--public [bool]', 'let every node reach this one, without trust')
    .option('--trust-auto-approve [bool]', 'approve every trust request')
    .option('--encrypt [bool]', 'encrypt tunnels', 'true')
    .option('--plaintext-peers <ids>', 'node ids, comma between, talked to in the clear')
    .option('--networks <ids>', 'networks to join at the start, comma between')
    .option(
      '--admin-token <text>',
      'token of the registry for requests about networks (default: PILOT_ADMIN_TOKEN)',
    )
    .optionsGroup('Services:')
    .option('--no-echo', 'do not answer on port 7 (ping, bench)')
    .option('--no-stdio', 'do not answer on port 1000 (connect)')
    .option('--no-dataexchange', 'take no messages and files (port 1001)')
    .option('--no-eventstream', 'run no event broker (port 1002)')
    .option('--no-tasksubmit', 'take no tasks, and no results of ours (port 1003)')
    .option('--nameserver [bool]', 'keep names for peers on port 53, in ~/.pilot/nameserver.json')
    .option('--webhook <url>', 'post what happens there as JSON', '')
    .option(
      '--webhook-secret <text>',
      'sign it: X-Pilot-Signature-256 (default: PILOT_WEBHOOK_SECRET, which nobody sees)',
    )
    .optionsGroup('Limits:')
    .option(
      '--congestion <name>',
      `how streams find their pace: ${CONGESTION_NAMES.join(', ')}`,
      'auto',
    )
    .option('--no-native', 'no native speed-ups, even where the package koffi is installed')
    .option('--syn-rate-limit <n>', 'new streams per second from strangers', '100')
    .option('--max-conns-per-port <n>', 'streams of one port', '1024')
    .option('--max-conns-total <n>', 'streams in all', '4096')
    .option(
      '--idle-timeout <duration>',
      'close streams that carried nothing for so long (default: they are kept)',
    )
    .option('--time-wait <duration>', 'how long closed streams are remembered', '10s')
    .optionsGroup('Program:')
    .option('--socket <path>', 'Unix socket for local programs', DEFAULT_SOCKET)
    .option('--config <path>', 'JSON file with flags as members')
    .option('--log-level <level>', LOG_LEVELS.join(', '), 'info')
    .option('--log-format <format>', 'text or json', 'text')
    .option(
      '--log-file <path>',
      'log there, three files of at most 10 MiB (default: standard error)',
    )
    .option('--version', 'print the version')
    .helpOption('-h, --help', 'print this')
    .optionsGroup('Taken for compatibility, without effect:')
    .option('--peer-keepalive <duration>', 'paths are kept open as long as they are used')
    .option('--trace-sends [bool]', 'see -log-level debug, and pilotctl peers')
    .option('--trace-streams [bool]', 'see -webhook, and pilotctl connections')
    .exitOverride()
    .configureOutput({ writeOut: () => {}, writeErr: () => {} })
}

/** `home`: where `~/.pilot` is. */
export function parseDaemonArguments(argv: readonly string[], home: string): ParsedArguments {
  const command = createCommand()
  try {
    const { argv: normal, ignored } = normalizeArguments(command, argv, { singleDash: true })
    const [stray] = [...ignored, ...positionalsOf(normal)]
    if (stray !== undefined)
      return bad(
        stray.startsWith('-') ? `unknown flag ${stray.split('=')[0]}` : `unexpected ${stray}`,
      )
    if (normal.includes('--help'))
      return good(`${command.helpInformation().trimEnd()}\n${daemonNotes}`)
    command.parse([...normal], { from: 'user' })
    if (command.getOptionValue('version') === true) return good(`${PROGRAM} ${VERSION}`)
    const warnings = applyConfigFile(command)
    return { config: configOf(command, home), warnings }
  } catch (error) {
    const text = error instanceof CommanderError ? error.message : messageOf(error)
    return bad(text.replace(/^error: /, ''))
  }
}

function good(text: string): ParsedArguments {
  return { exitCode: 0, text, reason: '' }
}

function bad(text: string): ParsedArguments {
  const reason = text.replaceAll('\n', ' ')
  return { exitCode: 2, text: `${PROGRAM}: ${reason} (--help lists the flags)`, reason }
}

function positionalsOf(normal: readonly string[]): string[] {
  const at = normal.indexOf('--')
  return at < 0 ? [] : normal.slice(at + 1)
}

/** Members of the file for flags that were not given. Returns warnings about unknown ones. */
function applyConfigFile(command: Command): string[] {
  const path = command.getOptionValue('config') as string | undefined
  if (path === undefined) return []
  let members: unknown
  try {
    members = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new Error(`-config ${path}: ${messageOf(error)}`)
  }
  if (typeof members !== 'object' || members === null || Array.isArray(members))
    throw new Error(`-config ${path}: not a JSON object`)
  const warnings: string[] = []
  for (const [key, value] of Object.entries(members)) {
    const option = command.options.find((one) => one.name() === key.replaceAll('_', '-'))
    if (option === undefined || option.name() === 'config') {
      warnings.push(`the configuration ${path} names an unknown flag: ${key}`)
      continue
    }
    const name = option.attributeName()
    if (command.getOptionValueSource(name) === 'cli') continue
    const isPlain = ['string', 'number', 'boolean'].includes(typeof value)
    if (!isPlain) throw new Error(`-config ${path}: ${key} must be a string, number or bool`)
    command.setOptionValue(name, option.negate ? !isTrue(`${value}`) : `${value}`)
  }
  return warnings
}

function configOf(command: Command, home: string): DaemonConfig {
  const text = (name: string): string => `${command.getOptionValue(name) ?? ''}`
  const flag = (name: string): boolean => {
    const value: unknown = command.getOptionValue(name)
    return value !== undefined && isTrue(value === true ? true : `${value}`)
  }
  const oneOf = <T extends string>(name: string, values: readonly T[]): T => {
    const value = text(name)
    const found = values.find((one) => one === value)
    if (found === undefined)
      throw new Error(
        `-${kebab(name)} is one of ${values.join(', ')}, got ${JSON.stringify(value)}`,
      )
    return found
  }
  const count = (name: string): number => {
    if (!/^[1-9]\d{0,8}$/.test(text(name)))
      throw new Error(
        `-${kebab(name)} is a whole number above 0, got ${JSON.stringify(text(name))}`,
      )
    return Number(text(name))
  }
  /** `undefined` when it was not named. */
  const duration = (name: string): number | undefined => {
    if (text(name) === '') return undefined
    const ms = parseDuration(text(name), kebab(name))
    if (ms > 0 && ms <= DURATION_MAX_MS) return ms
    throw new Error(`-${kebab(name)} is above 0 and at most 24h, got ${text(name)}`)
  }
  const transport = oneOf<Transport>('transport', ['udp', 'compat', 'auto'])
  const rendezvousUrl = text('rendezvousUrl') || undefined
  if (transport !== 'udp' && rendezvousUrl === undefined)
    throw new Error(`-transport ${transport} needs -rendezvous-url`)
  if (rendezvousUrl !== undefined) rendezvousUrls(rendezvousUrl)
  const checked = (name: string, check: (value: string) => unknown): void => {
    const value = text(name)
    try {
      if (value !== '' && check(value) === undefined) throw new Error(`need ip:port, got ${value}`)
    } catch (error) {
      throw new Error(`-${kebab(name)}: ${messageOf(error)}`)
    }
  }
  checked('registry', (value) => parseHostPort(value, 'address'))
  checked('beacon', (value) => parseHostPort(value, 'address'))
  checked('listen', parseListen)
  checked('endpoint', parseEndpoint)
  const registry = text('registry')
  const beacon = command.getOptionValue('beacon') as string | undefined
  const fingerprint = text('registryFingerprint').toLowerCase().replaceAll(':', '')
  if (flag('registryTls') && !/^[0-9a-f]{64}$/.test(fingerprint))
    throw new Error('-registry-tls needs -registry-fingerprint, 64 hex digits')
  const identity = command.getOptionValue('identity') as string | undefined
  return {
    registry,
    beacon: beacon === undefined ? defaultBeacon(registry) : beacon === '' ? false : beacon,
    transport,
    rendezvousUrl,
    webRtc: {
      backend: webRtcChoice(text('webrtc')),
      ...(text('iceServers') === '' ? {} : { iceServers: iceServers(text('iceServers')) }),
    },
    webSocket: webSocketOptions(text),
    listen: text('listen'),
    socket: text('socket'),
    endpoint: text('endpoint') || undefined,
    datagramBytesMax: text('datagramMax') === '' ? undefined : count('datagramMax'),
    native: flag('native'),
    encrypt: flag('encrypt'),
    plaintextPeers: nodeIds(text('plaintextPeers')),
    registryFingerprint: flag('registryTls') ? fingerprint : undefined,
    identity:
      identity === undefined
        ? defaultIdentityPath(pilotPaths(home).directory)
        : identity || undefined,
    owner: text('owner') || text('email'),
    hostname: text('hostname'),
    isPublic: flag('public'),
    autoApprove: flag('trustAutoApprove'),
    networks: networkIds(text('networks')),
    adminToken: text('adminToken') || process.env.PILOT_ADMIN_TOKEN || '',
    keepaliveMs: duration('keepalive') ?? KEEPALIVE_MS,
    streamKeepaliveMs: duration('keepalive'),
    idleTimeoutMs: duration('idleTimeout'),
    timeWaitMs: duration('timeWait') ?? TIME_WAIT_MS,
    congestion: oneOf('congestion', CONGESTION_NAMES),
    synRateLimit: count('synRateLimit'),
    maxConnectionsPerPort: count('maxConnsPerPort'),
    maxConnections: count('maxConnsTotal'),
    services: {
      echo: flag('echo'),
      dataExchange: flag('dataexchange'),
      eventStream: flag('eventstream'),
      stdio: flag('stdio'),
      taskSubmit: flag('tasksubmit'),
      nameserver: flag('nameserver'),
    },
    webhook: webhookUrl(text('webhook')),
    webhookSecret: text('webhookSecret') || process.env.PILOT_WEBHOOK_SECRET || '',
    logLevel: oneOf('logLevel', LOG_LEVELS),
    logFormat: oneOf<LogFormat>('logFormat', ['text', 'json']),
    logFile: text('logFile') || undefined,
  }
}

/** Certificate and key are read here, so that a wrong name is told before anything runs. */
function webSocketOptions(text: (name: string) => string): WebSocketPathOptions {
  const [cert, key] = [text('wsTlsCert'), text('wsTlsKey')]
  if ((cert === '') !== (key === '')) throw new Error('-ws-tls-cert and -ws-tls-key go together')
  const origins = listOf(text('wsOrigins'))
  const options: WebSocketPathOptions = {
    ...(text('wsListen') === '' ? {} : { listen: text('wsListen') }),
    ...(cert === ''
      ? {}
      : { tls: { cert: readPem(cert, 'ws-tls-cert'), key: readPem(key, 'ws-tls-key') } }),
    urls: listOf(text('wsUrl')),
    ...(origins.length === 0 ? {} : { origins }),
  }
  try {
    checkWebSocketOptions(options)
  } catch (error) {
    throw new Error(`-ws-listen: ${messageOf(error)}`)
  }
  return options
}

function webhookUrl(text: string): string {
  try {
    return text === '' ? '' : parseWebhookUrl(text).href
  } catch (error) {
    throw new Error(`-webhook: ${messageOf(error)}`)
  }
}

function listOf(text: string): string[] {
  return text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
}

function readPem(path: string, name: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new Error(`-${name} ${path}: ${messageOf(error)}`)
  }
}

/** A bool too, as with other flags: on is auto. */
function webRtcChoice(text: string): WebRtcChoice {
  const found = WEBRTC_CHOICES.find((one) => one === text)
  if (found !== undefined) return found
  if (/^(true|false|1|0)$/.test(text)) return isTrue(text) ? 'auto' : 'off'
  throw new Error(`-webrtc is one of ${WEBRTC_CHOICES.join(', ')}, got ${JSON.stringify(text)}`)
}

/** `turn:user:password@host:port` is what libraries want in three parts. */
function iceServers(text: string): IceServer[] {
  if (text === 'none') return []
  return listOf(text).map((url) => {
    const match = /^(stuns?|turns?):(?:([^\s/:@]+):([^\s/@]+)@)?([^\s/@]+)$/.exec(url)
    const [, scheme = '', username, credential, rest] = match ?? []
    const isTurn = scheme.startsWith('turn')
    if (match === null || isTurn !== (username !== undefined))
      throw new Error(
        `-ice-servers takes stun:host:port or turn:user:password@host:port, got ${JSON.stringify(url)}`,
      )
    const urls = `${scheme}:${rest}`
    return username === undefined || credential === undefined
      ? { urls }
      : { urls, username, credential }
  })
}

function nodeIds(text: string): ReadonlySet<number> {
  const ids = text.split(',').filter((one) => one.trim() !== '')
  return new Set(
    ids.map((one) => {
      if (!/^\s*\d{1,10}\s*$/.test(one))
        throw new Error(`-plaintext-peers: ${JSON.stringify(one)} is no node id`)
      return Number(one)
    }),
  )
}

function networkIds(text: string): readonly number[] {
  const ids = text.split(',').filter((one) => one.trim() !== '')
  return ids.map((one) => {
    const id = Number(one)
    if (!/^\s*\d{1,5}\s*$/.test(one) || id < 1 || id > 0xffff)
      throw new Error(`-networks: ${JSON.stringify(one)} is no network id (1 to 65535)`)
    return id
  })
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
