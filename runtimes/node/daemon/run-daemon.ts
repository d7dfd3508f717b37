/** The daemon program: a node, its services and the socket for local programs, until told to stop (spec/08 §4, §5). */
import { PilotError } from '../../../core/errors.ts'
import { formatAddress } from '../../../core/wire/address.ts'
import { createNode } from '../create-node.ts'
import { exitNow } from '../end-process.ts'
import { IpcServer } from '../ipc/server.ts'
import { checkSocketPlace, isSocketLive } from '../ipc/socket-file.ts'
import { backendsFor, type WebRtcChoice } from '../rtc/backend.ts'
import { VERSION } from '../version.ts'
import { Webhook } from '../webhook/webhook.ts'
import { type DaemonConfig, parseDaemonArguments } from './config.ts'
import { adviceFor } from './fatal-advice.ts'
import { IdleStreams } from './idle-streams.ts'
import { rotateKey } from './key-rotation.ts'
import { createLog, type Log } from './log.ts'
import { LogFile } from './log-file.ts'
import { Memberships } from './memberships.ts'
import { NodeWatch } from './node-watch.ts'
import { type DaemonServices, startServices } from './services.ts'

export interface DaemonIo {
  stdout(text: string): void
  stderr(text: string): void
  readonly home: string
  /** Aborted when the daemon is to stop. */
  readonly signal: AbortSignal
}

/** Longest time for what is in flight at the end: streams, then the registry (spec/06 §10). */
const STOP_MS = 2000
/** For the reply to whoever asked for another key, before the socket closes. */
const REPLY_MS = 50

/** Returns the exit code: 0 after a stop, 1 after a fatal error, 2 for bad flags. */
export async function runDaemon(argv: readonly string[], io: DaemonIo): Promise<number> {
  const parsed = parseDaemonArguments(argv, io.home)
  if ('exitCode' in parsed) {
    const print = parsed.exitCode === 0 ? io.stdout : io.stderr
    print(`${parsed.text}\n`)
    return parsed.exitCode
  }
  const { config } = parsed
  let file: LogFile | undefined
  try {
    if (config.logFile !== undefined) file = new LogFile(config.logFile)
  } catch (error) {
    io.stderr(`pilot-daemon: ${adviceFor(error, config)}\n`)
    return 1
  }
  const log = createLog(
    (line) => (file === undefined ? io.stderr(`${line}\n`) : file.write(line)),
    config.logLevel,
    config.logFormat,
  )
  for (const warning of parsed.warnings) log.warn(warning)
  const onCrash = (error: Error): void => {
    log.error(`internal error: ${error.stack ?? error.message}`)
    exitNow(1)
  }
  process.on('uncaughtException', onCrash)
  try {
    await run(config, io, log)
    return 0
  } catch (error) {
    log.error(adviceFor(error, config))
    return 1
  } finally {
    process.off('uncaughtException', onCrash)
    file?.[Symbol.dispose]()
  }
}

async function run(config: DaemonConfig, io: DaemonIo, log: Log): Promise<void> {
  log.info(`pilot-daemon ${VERSION}`, {
    pid: process.pid,
    ...(config.transport === 'compat'
      ? { rendezvous: config.rendezvousUrl ?? '' }
      : { registry: config.registry }),
  })
  logWebRtc(config.webRtc.backend ?? 'auto', log)
  const webhook = new Webhook({ home: io.home, log, secret: config.webhookSecret })
  try {
    if (config.webhook !== '') webhook.setTarget(config.webhook)
    while (await runNode(config, io, log, webhook)) log.info('starting again with the new key')
  } finally {
    await webhook.close()
  }
  log.info('stopped')
}

/** True when its key was rotated: then everything begins anew. */
async function runNode(
  config: DaemonConfig,
  io: DaemonIo,
  log: Log,
  webhook: Webhook,
): Promise<boolean> {
  const { signal } = io
  // Before the node registers: a second daemon must not disturb the first one's registration.
  checkSocketPlace(config.socket)
  if (await isSocketLive(config.socket))
    throw new PilotError('ERR_ADDRESS_IN_USE', `a daemon already answers on ${config.socket}`)
  const node = await createNode({
    registry: config.registry,
    beacon: config.beacon,
    transport: config.transport,
    ...(config.rendezvousUrl !== undefined && { rendezvousUrl: config.rendezvousUrl }),
    webRtc: config.webRtc,
    webSocket: config.webSocket,
    listen: config.listen,
    ...(config.endpoint !== undefined && { endpoint: config.endpoint }),
    ...(config.datagramBytesMax !== undefined && { datagramBytesMax: config.datagramBytesMax }),
    ...(!config.native && { native: false }),
    ...(config.identity !== undefined && { identity: config.identity }),
    ...(config.registryFingerprint !== undefined && {
      registryFingerprint: config.registryFingerprint,
    }),
    encrypt: config.encrypt,
    plaintextPeers: config.plaintextPeers,
    isPublic: config.isPublic,
    owner: config.owner,
    autoApprove: config.autoApprove,
    keepaliveMs: config.keepaliveMs,
    congestion: config.congestion,
    synRateLimit: config.synRateLimit,
    maxConnectionsPerPort: config.maxConnectionsPerPort,
    maxConnections: config.maxConnections,
    tuning: {
      timeWaitMs: config.timeWaitMs,
      ...(config.streamKeepaliveMs !== undefined && { keepaliveMs: config.streamKeepaliveMs }),
    },
    details: true,
    signal,
  }).catch((error: unknown) => {
    if (signal.aborted) return undefined
    throw error
  })
  if (node === undefined) return false
  const rotated = new AbortController()
  const beacon = config.beacon === false ? '' : config.beacon
  const watch = new NodeWatch({ node, hostname: config.hostname, beacon, log })
  const { networks: join, adminToken } = config
  const memberships = new Memberships({ node, log, join, adminToken })
  let server: IpcServer | undefined
  let services: DaemonServices | undefined
  let idle: IdleStreams | undefined
  try {
    await watch.claimHostname()
    void memberships.start() // a slow registry must not keep local programs waiting
    webhook.watch(node)
    services = startServices({ node, config, home: io.home, log, emit: webhook.emit })
    server = await IpcServer.listen({
      node,
      socketPath: config.socket,
      facts: {
        version: VERSION,
        owner: config.owner,
        hasIdentity: config.identity !== undefined,
        beacon,
        transport: node.isRelayOnly ? 'compat' : 'udp',
        get webhookDrops() {
          return webhook.dropped
        },
        get hostnameError() {
          return watch.hostnameError
        },
        get networks() {
          return memberships.addresses
        },
      },
      lentPorts: services.lentPorts,
      adminToken,
      refreshNetworks: () => memberships.refresh(),
      sign: (message) => node.sign(message),
      seekDirect: (nodeId) => node.seekDirect(nodeId),
      setWebhook: async (url) => webhook.setTarget(url),
      rotateKey: async () => {
        const reply = await rotateKey({
          nodeId: node.nodeId,
          requests: node.machine.requests,
          ask: (request) => node.registry.ask(request),
          path: config.identity,
          isOverTls: config.registryFingerprint !== undefined,
        })
        log.info('key rotated', { public_key: `${reply.public_key}` })
        setTimeout(() => rotated.abort(), REPLY_MS)
        return reply
      },
    })
    const { idleTimeoutMs: idleMs } = config
    const { emit } = webhook
    if (idleMs !== undefined) {
      const ipc = server
      const close = (id: number): void => ipc.closeConnection(id)
      idle = new IdleStreams({ node, idleMs, emit, log, close })
    }
    if (node.webSocketUrls.length > 0)
      log.info('WebSockets of trusted peers are taken', { urls: node.webSocketUrls.join(' ') })
    log.info('daemon running', {
      node_id: node.nodeId,
      addr: formatAddress(node.address),
      udp: node.info().endpoint,
      socket: config.socket,
    })
    await untilAborted(AbortSignal.any([signal, rotated.signal]))
    log.info('stopping')
  } finally {
    memberships[Symbol.dispose]()
    idle?.[Symbol.dispose]()
    services?.[Symbol.dispose]()
    webhook.leave()
    // Streams get FIN, the registry is told, then clients and the socket go (spec/06 §10).
    await node.close({ timeoutMs: STOP_MS, staysRegistered: rotated.signal.aborted })
    await server?.close()
  }
  return rotated.signal.aborted && !signal.aborted
}

function logWebRtc(choice: WebRtcChoice, log: Log): void {
  const [backend] = backendsFor(choice)
  if (backend !== undefined) log.info('WebRTC paths where they are wanted', { backend })
  else if (choice === 'auto')
    log.info('no WebRTC paths: neither node-datachannel nor werift is installed')
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
