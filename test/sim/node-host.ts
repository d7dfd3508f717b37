/** Whole nodes and a rendezvous in the simulated network. The registry's TCP is a byte pipe with latency. */
import {
  type CryptoProvider,
  type Endpoint,
  Identity,
  type Instant,
  type LaterSigner,
  NodeMachine,
  type NodeMachineEvent,
  type NodeMachineOptions,
  type Stream,
  TRANSMIT_BUFFER_BYTES,
  TrustStore,
} from '../../core/index.ts'
import { encodeRegistryFrame, RegistryFrameDecoder } from '../../core/wire/registry-message.ts'
import { nodeCrypto } from '../../runtimes/node/crypto.ts'
import { Beacon } from '../../signaling/beacon.ts'
import {
  type CompatConnection,
  CompatRelay,
  type CompatTransmit,
} from '../../signaling/compat-relay.ts'
import { Registry } from '../../signaling/registry.ts'
import { RegistryConnection } from '../../signaling/registry-connection.ts'
import { MemoryStore } from '../../signaling/registry-store.ts'
import type { Host, Transmit, World } from './world.ts'

const UNIX_START = 1_772_200_000
export const BEACON: Endpoint = { address: '198.51.100.1', port: 9001 }

/** Registry and beacon in one, as the real program runs them. */
export class RendezvousHost implements Host {
  readonly endpoint = BEACON
  readonly world: World
  readonly store = new MemoryStore()
  compat: CompatRelay
  beacon: Beacon
  registry: Registry
  /** Who gets what is sent on a WebSocket. */
  readonly channels: Map<CompatConnection, (transmit: CompatTransmit) => void> = new Map()
  /** False: nothing answers on TCP. */
  isListening = true
  generation = 0

  constructor(world: World) {
    this.world = world
    this.registry = this.#createRegistry()
    this.compat = this.#createCompat()
    this.beacon = this.#createBeacon()
  }

  /** The process died and came back with what was on disk. */
  restart(): void {
    this.generation++
    this.registry = this.#createRegistry()
    this.compat = this.#createCompat()
    this.beacon = this.#createBeacon()
    for (const [connection, take] of [...this.channels])
      take({ type: 'close', connection, code: 1006, reason: '' })
    this.channels.clear()
  }

  #createCompat(): CompatRelay {
    const random = this.world.random(`relay ${this.generation}`)
    return new CompatRelay(
      {
        random: (bytes) => Uint8Array.from({ length: bytes }, () => random.int(0, 255)),
        verify: nodeCrypto.ed25519Verify,
        registeredKey: (id) => this.registry.desk.nodes.live(id)?.keyBytes,
      },
      this.world.now,
    )
  }

  #createRegistry(): Registry {
    return new Registry({ store: this.store, verify: nodeCrypto.ed25519Verify }, this.time)
  }

  #createBeacon(): Beacon {
    const registeredAt = (id: number) => this.registry.desk.nodes.place(id)
    return new Beacon({ registeredAt, compat: this.compat }, this.world.now)
  }

  get time(): { at: Instant; unixSeconds: number } {
    return { at: this.world.now, unixSeconds: UNIX_START + Math.floor(this.world.now / 1000) }
  }

  handleDatagram(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    this.beacon.handleDatagram(datagram, from, now)
  }

  handleTimeout(now: Instant): void {
    this.beacon.handleTimeout(now)
    this.registry.handleTimeout(this.time)
  }

  pollTimeout(): Instant | undefined {
    return Math.min(this.beacon.pollTimeout(), this.registry.pollTimeout())
  }

  pollTransmit(): Transmit | undefined {
    for (let one = this.compat.pollTransmit(); one !== undefined; one = this.compat.pollTransmit())
      this.channels.get(one.connection)?.(one)
    return this.beacon.pollTransmit()
  }
}

export interface NodeHostOptions {
  readonly world: World
  readonly rendezvous: RendezvousHost
  /** Behind a NAT the private one. */
  readonly endpoint: Endpoint
  /** Where the registry sees TCP come from: the NAT's public address. */
  readonly publicAddress?: string
  readonly name: string
  readonly isPublic?: boolean
  readonly identity?: Identity
  /** The machine is not given the key: signatures come so much later. */
  readonly signingMs?: number
  readonly trustStore?: TrustStore
  readonly machine?: Partial<NodeMachineOptions>
}

const REGISTRY_LATENCY_MS = 20

export class NodeHost implements Host {
  readonly endpoint: Endpoint
  readonly machine: NodeMachine
  readonly identity: Identity
  readonly trustStore: TrustStore
  readonly events: NodeMachineEvent[] = []
  /** Called for streams with news; the default serves echo on inbound ones. */
  onStream: (stream: Stream, now: Instant) => void
  readonly #options: NodeHostOptions
  readonly #buffer = new Uint8Array(TRANSMIT_BUFFER_BYTES)
  #tcp:
    | { generation: number; connection: RegistryConnection; decoder: RegistryFrameDecoder }
    | undefined

  constructor(options: NodeHostOptions) {
    const { world, endpoint } = options
    this.#options = options
    this.endpoint = endpoint
    const random = world.random(`node ${options.name}`)
    const crypto: CryptoProvider = {
      ...nodeCrypto,
      random: (bytes) => Uint8Array.from({ length: bytes }, () => random.int(0, 255)),
    }
    this.identity = options.identity ?? Identity.generate(crypto)
    this.trustStore = options.trustStore ?? new TrustStore()
    this.machine = new NodeMachine({
      crypto,
      identity: options.signingMs === undefined ? this.identity : this.#laterSigner(),
      trustStore: this.trustStore,
      unixNow: () => options.rendezvous.time.unixSeconds,
      now: world.now,
      localEndpoint: endpoint,
      beacon: BEACON,
      hostname: options.name,
      isPublic: options.isPublic ?? true,
      ...options.machine,
    })
    this.onStream = (stream, now) => serveEcho(this.machine, stream, now)
  }

  handleDatagram(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    this.machine.handleDatagram(datagram, from, now)
  }

  handleTimeout(now: Instant): void {
    this.machine.handleTimeout(now)
  }

  pollTimeout(): Instant | undefined {
    return this.machine.pollTimeout()
  }

  pollTransmit(now: Instant): Transmit | undefined {
    for (;;) {
      const transmit = this.machine.pollTransmit(this.#buffer, now)
      if (transmit !== undefined)
        return { to: transmit.to, datagram: this.#buffer.subarray(transmit.start, transmit.end) }
      const event = this.machine.pollEvent()
      if (event !== undefined) this.#handleEvent(event, now)
      const stream = this.machine.pollStream()
      if (stream !== undefined) {
        this.onStream(stream, now)
        Object.assign(stream.news, {
          isReadable: false,
          isWritable: false,
          isEnded: false,
          isConnected: false,
        })
      }
      if (event === undefined && stream === undefined) return undefined
    }
  }

  #handleEvent(event: NodeMachineEvent, now: Instant): void {
    if (event.type === 'registry-connect') this.#connect()
    else if (event.type === 'sign') this.#sign(event.id, event.message)
    else if (event.type === 'registry-send') this.#request(event.bytes)
    else if (event.type === 'registry-disconnect') this.#tcp = undefined
    else {
      if (event.type === 'incoming') this.onStream(event.stream, now)
      this.events.push(event)
    }
  }

  #laterSigner(): LaterSigner {
    const { publicKey } = this.identity
    return { publicKey, signLater: () => Promise.reject(new Error('the world has no promises')) }
  }

  #sign(id: number, message: Uint8Array): void {
    const { world, signingMs = 0 } = this.#options
    world.at(world.now + signingMs, () => {
      this.machine.handleSignature(id, this.identity.sign(message), world.now)
      world.touch(this)
    })
  }

  #connect(): void {
    const { world, rendezvous, publicAddress } = this.#options
    const source = { address: publicAddress ?? this.endpoint.address, port: 40_000 }
    this.#later(() => {
      if (!rendezvous.isListening)
        return this.machine.handleRegistryDisconnected('refused', world.now)
      this.#tcp = {
        generation: rendezvous.generation,
        connection: new RegistryConnection(source),
        decoder: new RegistryFrameDecoder(),
      }
      this.machine.handleRegistryConnected(world.now)
    })
  }

  #request(bytes: Uint8Array): void {
    const { world, rendezvous } = this.#options
    const tcp = this.#tcp
    this.#later(() => {
      if (tcp === undefined || tcp !== this.#tcp) return
      if (tcp.generation !== rendezvous.generation || !rendezvous.isListening) {
        this.#tcp = undefined
        return this.machine.handleRegistryDisconnected('connection lost', world.now)
      }
      tcp.decoder.push(bytes)
      for (let message = tcp.decoder.next(); message !== undefined; message = tcp.decoder.next()) {
        const { reply } = rendezvous.registry.handle(message, tcp.connection, rendezvous.time)
        rendezvous.store.commit()
        const answer = encodeRegistryFrame(reply)
        this.#later(() => {
          if (tcp === this.#tcp) this.machine.handleRegistryData(answer, world.now)
        })
      }
      world.touch(rendezvous)
    })
  }

  #later(run: () => void): void {
    const { world } = this.#options
    world.at(world.now + REGISTRY_LATENCY_MS, () => {
      run()
      world.touch(this)
    })
  }
}

/** What could not be sent back yet, by stream. */
const unsent = new WeakMap<Stream, Uint8Array>()

/** Sends back what an inbound stream brings, as far as there is room, and closes after the peer. */
export function serveEcho(machine: NodeMachine, stream: Stream, now: Instant): void {
  if (!stream.isInbound) return
  let data = unsent.get(stream) ?? machine.read(stream, now)
  while (data !== undefined) {
    const taken = machine.write(stream, data, now)
    if (taken < data.length) {
      unsent.set(stream, data.subarray(taken))
      return
    }
    unsent.delete(stream)
    data = machine.read(stream, now)
  }
  if (stream.connection.ended) machine.closeStream(stream, now)
}
