/**
 * A rendezvous in one Durable Object: the registry, the relay and the status page, which sleep while nobody speaks. Its
 * WebSockets stay open then; what was in memory is made anew from them and from SQLite when a message, a request or the
 * alarm wakes it.
 */
import type { Context } from 'hono'
import { defineWebSocketHelper, WSContext } from 'hono/ws'
import { nobleCrypto } from '../../core/crypto/noble.ts'
import type { Endpoint } from '../../core/machine.ts'
import {
  COMPAT_ALIVE,
  COMPAT_PATH,
  COMPAT_PROTOCOL,
  REGISTRY_PATH,
  REGISTRY_PROTOCOL,
} from '../../core/rendezvous/compat-message.ts'
import { createApp } from '../app.ts'
import { Beacon } from '../beacon.ts'
import { CompatRelay } from '../compat-relay.ts'
import { CompatWires } from '../compat-wires.ts'
import {
  COMPAT_AUTH_MS,
  COMPAT_SWEEP_MS,
  type CompatLimits,
  type RegistryLimits,
} from '../limits.ts'
import { createLog, type Log, type LogLevel } from '../log.ts'
import { Registry, type RegistryNow } from '../registry.ts'
import { type ConnectionLimits, RegistrySessions } from '../registry-sessions.ts'
import { viewOf } from '../rendezvous-view.ts'
import { ReplicationFeed } from '../replication-feed.ts'
import { RequestMetrics } from '../request-metrics.ts'
import { canonicalIp } from '../serve-address.ts'
import { addSocketRoutes, type SocketDoor } from '../socket-routes.ts'
import { SqlStore } from '../sql-store.ts'
import type { SocketCounters } from '../statistics.ts'
import { UpgradeRates } from '../upgrade-rates.ts'
import { DurableDatabase } from './durable-database.ts'
import { HELD_MS, HeldFrames } from './held-frames.ts'
import { type Attachment, type Link, RegistryLink, RelayLink } from './links.ts'
import { NodeLives } from './node-lives.ts'
import {
  type HibernatingSocket,
  type ObjectState,
  upgradeResponse,
  workerdGlobals,
} from './platform.ts'
import { SessionTable } from './session-table.ts'
import { closeSocket, isOpen, messageSocket, SocketChannel } from './sockets.ts'
import { COMPAT_LIMITS, CONNECTION_LIMITS, LIMITATIONS, REGISTRY_LIMITS } from './worker-limits.ts'

export interface WorkerRendezvousOptions {
  /** Origins of pages that may open WebSockets, e.g. `https://example.org`. Default any. */
  readonly origins?: readonly string[]
  /** Opens custom networks, policies and the audit log to who knows it (spec/05 §11). */
  readonly adminToken?: string
  readonly allowOwnerRecovery?: boolean
  readonly allowUnboundRotation?: boolean
  readonly limits?: Partial<RegistryLimits>
  readonly compatLimits?: Partial<CompatLimits>
  readonly connectionLimits?: Partial<ConnectionLimits>
  /** Default `info`; lines go to `console.log`. */
  readonly logLevel?: LogLevel
}

/** While anybody is here; nodes are reaped by it. */
const ALARM_MS = 60_000
/** After what waits has run out of time. */
const GRACE_MS = 500
/** Who comes through a binding, and not from the network. */
const UNKNOWN_CLIENT = '0.0.0.0'
/** Nobody tells it here; 0 is none that a registration could have. */
const CLIENT_PORT = 1

/** Every clock of a worker is the wall clock, and what is kept must mean the same after a sleep. */
function wallClock(): RegistryNow {
  const at = Date.now()
  return { at, unixSeconds: Math.floor(at / 1000) }
}

/**
 * Registry, relay and status page as one Durable Object: its WebSockets hibernate, its state is in SQL. Options by
 * constructor; `PilotRendezvous` takes them from the environment.
 */
export class RendezvousObject {
  readonly #ctx: ObjectState
  readonly #registry: Registry
  readonly #beacon: Beacon
  readonly #relay: CompatRelay
  readonly #wires: CompatWires
  readonly #sessions: RegistrySessions
  readonly #app: ReturnType<typeof createApp>
  readonly #table: SessionTable
  readonly #lives: NodeLives
  readonly #held: HeldFrames
  readonly #links = new Map<HibernatingSocket, Link>()
  readonly #later: (() => void)[] = []
  readonly #now: () => RegistryNow
  readonly #frameMs: number
  #alarmAt = Number.POSITIVE_INFINITY
  /** It was set for what has seconds only. */
  #isUrgent = false

  /** @throws {StorageError} `ERR_STORE_CORRUPT`, `ERR_STORE_IO`: the object answers nothing then. */
  constructor(
    ctx: ObjectState,
    options: WorkerRendezvousOptions = {},
    now: () => RegistryNow = wallClock,
  ) {
    this.#ctx = ctx
    this.#now = now
    const clock = now()
    const log = workerLog(options.logLevel ?? 'info')
    const { storage } = ctx
    const store = new SqlStore(new DurableDatabase(storage))
    const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes))
    const { ed25519Verify: verify } = nobleCrypto(random)
    const { origins: _origins, ...settings } = options
    this.#registry = new Registry(
      { ...settings, store, verify, limits: { ...REGISTRY_LIMITS, ...options.limits } },
      clock,
    )
    const { desk } = this.#registry
    this.#lives = new NodeLives(storage, desk.nodes, clock.at)
    this.#held = new HeldFrames(storage)
    const compatLimits = { ...COMPAT_LIMITS, ...options.compatLimits }
    this.#relay = new CompatRelay(
      {
        limits: compatLimits,
        random,
        verify,
        registeredKey: (nodeId) => desk.nodes.live(nodeId)?.keyBytes,
        pings: false,
        answersAlive: true,
      },
      clock.at - COMPAT_SWEEP_MS, // the alarm that wakes us finds it due
    )
    this.#beacon = new Beacon(
      {
        compat: this.#relay,
        registeredAt: (nodeId) => desk.nodes.place(nodeId),
        hold: (nodeId, relay) =>
          desk.nodes.live(nodeId)?.relayOnly === true && this.#held.add(nodeId, relay, now().at),
      },
      clock.at,
    )
    this.#wires = new CompatWires({
      beacon: this.#beacon,
      relay: this.#relay,
      drain: () => this.#wires.drain(),
      now,
    })
    const counters: SocketCounters = {
      connections: 0,
      connectionsRefused: 0,
      framesRefused: 0,
      datagramsUnsent: 0,
    }
    const requests = new RequestMetrics()
    const limits = { ...CONNECTION_LIMITS, ...options.connectionLimits }
    this.#frameMs = limits.frameMs
    this.#sessions = new RegistrySessions({
      registry: this.#registry,
      store,
      metrics: requests,
      counters,
      log,
      limits,
      now,
      later: (work) => this.#later.push(work),
      feed: new ReplicationFeed(() => desk.state(), log),
    })
    this.#table = new SessionTable(storage)
    const view = viewOf(
      {
        registry: this.#registry,
        beacon: this.#beacon,
        requests,
        sockets: counters,
        startedAt: clock.at,
      },
      () => now().at,
      () => this.#sessions.isHealthy,
    )
    // No address of a peer is sure here, so that metrics are nobody's.
    this.#app = createApp({ view, peerAddress: () => undefined, limitations: LIMITATIONS })
    addSocketRoutes<HibernatingSocket>(this.#app, {
      doors: this.#doors(new UpgradeRates(compatLimits)),
      upgradeWebSocket: defineWebSocketHelper<HibernatingSocket>((context, { onOpen }) => {
        const { 0: client, 1: socket } = new (workerdGlobals().WebSocketPair)()
        // Hono's own helper accepts it in a way that keeps the object awake.
        ctx.acceptWebSocket(socket)
        const open = { raw: socket, readyState: 1 as const, send: () => {}, close: () => {} }
        onOpen?.(new Event('open'), new WSContext(open))
        const { pathname } = new URL(context.req.url)
        const protocol = pathname === COMPAT_PATH ? COMPAT_PROTOCOL : REGISTRY_PROTOCOL
        return upgradeResponse(client, protocol)
      }),
      clientOf,
      origins: options.origins,
      onerror: (error) => log.error('WebSocket failed unexpectedly', { reason: String(error) }),
    })
    const { WebSocketRequestResponsePair } = workerdGlobals()
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(COMPAT_ALIVE, COMPAT_ALIVE))
    this.#resume(clock)
    log.info('rendezvous awake', {
      nodes: desk.nodes.liveCount,
      sockets: this.#links.size,
      frames: this.#held.size,
    })
    for (const limitation of LIMITATIONS) log.info(limitation)
  }

  async fetch(request: Request): Promise<Response> {
    const response = await this.#app.fetch(request)
    this.#settle()
    return response
  }

  webSocketMessage(socket: HibernatingSocket, message: string | ArrayBuffer): void {
    const link = this.#links.get(socket)
    if (link === undefined) return
    link.read(typeof message === 'string' ? message : new Uint8Array(message))
    this.#settle(link)
  }

  webSocketClose(socket: HibernatingSocket, code: number): void {
    // 1005 and 1006 stand for a close without a code, and cannot be sent.
    closeSocket(socket, code === 1005 || code === 1006 ? 1000 : code, '')
    this.#forget(socket)
    this.#settle()
  }

  webSocketError(socket: HibernatingSocket): void {
    this.#forget(socket)
    this.#settle()
  }

  /** What is due by time. Nodes that were silent too long go, and with them WebSockets that nobody ended. */
  alarm(): void {
    this.#alarmAt = Number.POSITIVE_INFINITY
    const clock = this.#now()
    this.#registry.sweep(clock)
    this.#lives.sweep(this.#registry.desk.nodes)
    this.#sessions.tick()
    this.#beacon.handleTimeout(clock.at)
    this.#wires.drain()
    this.#settle()
  }

  #doors(upgrades: UpgradeRates): readonly SocketDoor<HibernatingSocket>[] {
    return [
      {
        path: COMPAT_PATH,
        protocol: COMPAT_PROTOCOL,
        admit: (client) => this.#wires.admit(client),
        open: (socket, client) => {
          const connection = this.#wires.open(this.#messageSocket(socket), client)
          this.#add(socket, this.#relayLink(socket, connection))
        },
      },
      {
        path: REGISTRY_PATH,
        protocol: REGISTRY_PROTOCOL,
        admit: ({ address }) => {
          if (!upgrades.take(address, this.#now().at)) return 'rate-limited'
          return this.#sessions.hasRoom(address) ? 'admitted' : 'full'
        },
        open: (socket, { address }) => {
          const row = { kind: 'registry', id: randomId(), source: address } as const
          this.#addRegistry(socket, row, undefined)
        },
      },
    ]
  }

  /** The WebSockets that outlived our memory. */
  #resume({ at }: RegistryNow): void {
    for (const socket of this.#ctx.getWebSockets()) {
      if (!isOpen(socket)) continue
      const attachment = socket.deserializeAttachment() as Attachment | null
      if (attachment?.kind === 'relay') {
        const connection = this.#wires.resume(this.#messageSocket(socket), attachment.connection)
        this.#links.set(socket, this.#relayLink(socket, connection))
      } else if (attachment?.kind === 'registry') {
        this.#addRegistry(socket, attachment, attachment.frameAt ?? at)
      } else closeSocket(socket, 1011, '')
    }
    this.#table.keepLoaded()
    this.#wires.drain()
  }

  #relayLink(socket: HibernatingSocket, connection: ReturnType<CompatWires['open']>): RelayLink {
    return new RelayLink(socket, this.#wires, connection, (authenticated) => {
      for (const frame of this.#held.take(authenticated.nodeId, this.#now().at))
        this.#relay.deliver(authenticated, frame)
      this.#wires.drain()
    })
  }

  /** `frameAt` `undefined`: a new client. */
  #addRegistry(
    socket: HibernatingSocket,
    {
      id,
      source,
      begunAt,
    }: Omit<Extract<Attachment, { kind: 'registry' }>, 'frameAt' | 'begunAt'> & {
      readonly begunAt?: number | undefined
    },
    frameAt: number | undefined,
  ): void {
    const release = this.#sessions.reserve(source)
    if (release === undefined) return closeSocket(socket, 1013, 'try again later')
    const table = this.#table
    const channel = new SocketChannel(socket, () => this.#forget(socket))
    const endpoint = { address: source, port: CLIENT_PORT }
    const session = this.#sessions.accept(
      channel,
      endpoint,
      undefined,
      frameAt === undefined ? undefined : { ...table.load(id), frameAt, begunAt },
    )
    const onproven = (nodeIds: readonly number[]): void => {
      for (const nodeId of nodeIds) {
        const node = this.#registry.desk.nodes.get(nodeId)
        if (node !== undefined) this.#lives.note(node)
      }
    }
    const parts = { id, source, session, channel, table, onproven, release }
    this.#add(socket, new RegistryLink(socket, parts))
  }

  #messageSocket(socket: HibernatingSocket): ReturnType<typeof messageSocket> {
    return messageSocket(socket, () => this.#forget(socket))
  }

  #add(socket: HibernatingSocket, link: Link): void {
    if (!isOpen(socket)) return link.closed()
    this.#links.set(socket, link)
    link.keep()
  }

  #forget(socket: HibernatingSocket): void {
    const link = this.#links.get(socket)
    if (link === undefined) return
    this.#links.delete(socket)
    link.closed()
  }

  /** The end of every event: answers leave, and what memory holds is kept where it outlives us. */
  #settle(link?: Link): void {
    for (const work of this.#later.splice(0)) work()
    link?.keep()
    const { at } = this.#now()
    this.#lives.awake(at)
    const { drops } = this.#beacon.counters
    drops.destinationUnknown += this.#held.purge(at)
    this.#arm(at)
  }

  /** An alarm costs a write, so that one that comes early enough stays, unless what it was for is over. */
  #arm(at: number): void {
    const waitsMs = [
      this.#relay.connectionCount > this.#relay.nodeCount ? COMPAT_AUTH_MS : undefined,
      this.#held.size > 0 ? HELD_MS : undefined,
      this.#table.unfinished > 0 ? this.#frameMs : undefined,
    ].filter((ms) => ms !== undefined)
    const isEmpty = this.#links.size === 0 && this.#registry.desk.nodes.liveCount === 0
    if (isEmpty && waitsMs.length === 0) return
    const isUrgent = waitsMs.length > 0
    const alarmAt = at + Math.min(ALARM_MS, ...waitsMs) + GRACE_MS
    const isSoonEnough = this.#alarmAt > at && this.#alarmAt <= alarmAt
    if (isSoonEnough && (isUrgent || !this.#isUrgent)) return
    this.#alarmAt = alarmAt
    this.#isUrgent = isUrgent
    void this.#ctx.storage.setAlarm(alarmAt)
  }
}

/** Whom Cloudflare says it is; a worker of the same account says nobody. */
function clientOf(context: Context): Endpoint {
  const address = canonicalIp(context.req.header('cf-connecting-ip')) ?? UNKNOWN_CLIENT
  return { address, port: CLIENT_PORT }
}

/** 53 bits: no two sessions have the same. */
function randomId(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2))
  return (high & 0x1f_ffff) * 2 ** 32 + low
}

function workerLog(level: LogLevel): Log {
  return createLog({
    level,
    format: 'json',
    write: (line) => console.log(line),
    time: () => new Date().toISOString(),
  })
}
