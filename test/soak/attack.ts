/** Throws bad input at a rendezvous and two daemons, at a steady rate, until told to stop. */
import type { Socket } from 'node:dgram'
import type { Rendezvous } from '../e2e/programs.ts'
import { Random } from '../sim/random.ts'
import {
  Clients,
  connectFrom,
  connectTo,
  httpBytes,
  ipcBytes,
  registryBytes,
} from './connections.ts'
import { beaconMessage, DATAGRAMS, type DatagramTarget, pick } from './datagrams.ts'
import { bound, ignore, type Middle } from './middle.ts'

export interface Target {
  readonly middle: Middle
  readonly socket: string
  readonly nodeId: number
  readonly peerId: number
}

export interface AttackOptions {
  readonly random: Random
  readonly rendezvous: Rendezvous
  readonly targets: readonly Target[]
}

const TICK_MS = 10
/** Datagrams per tick and daemon: mostly few, now and then a burst. */
const PER_TICK = 4
const BURST = 200
const BURST_CHANCE = 0.005
const CLIENTS_MAX = 24
const SOURCES = 12

export class Attack {
  readonly #options: AttackOptions
  readonly #random: Random
  readonly #sources: Socket[]
  readonly #thrown: Record<string, number> = {}
  readonly #clients: Record<'daemon sockets' | 'registry' | 'status page', Clients>
  #timer: NodeJS.Timeout | undefined

  private constructor(options: AttackOptions, sources: Socket[]) {
    this.#options = options
    this.#random = options.random
    this.#sources = sources
    const clients = (label: string): Clients => new Clients(new Random(1, label), CLIENTS_MAX)
    this.#clients = {
      'daemon sockets': clients('ipc'),
      registry: clients('registry'),
      'status page': clients('http'),
    }
  }

  static async start(options: AttackOptions): Promise<Attack> {
    const { random } = options
    const sources: Socket[] = []
    for (let i = 0; i < SOURCES; i++) {
      const socket = await bound(loopback(random))
      socket.on('error', () => {})
      sources.push(socket)
    }
    const attack = new Attack(options, sources)
    for (const { middle } of options.targets) middle.isDamaging = true
    attack.#timer = setInterval(() => attack.#tick(), TICK_MS)
    return attack
  }

  /** Ends it. Returns how much of what was thrown. */
  async stop(): Promise<Record<string, number>> {
    clearInterval(this.#timer)
    for (const { middle } of this.#options.targets) middle.isDamaging = false
    for (const socket of this.#sources)
      await new Promise<void>((resolve) => socket.close(() => resolve()))
    for (const [where, clients] of Object.entries(this.#clients)) {
      this.#thrown[`clients at ${where}`] = clients.connected
      this.#thrown[`writes at ${where}`] = clients.written
      clients.close()
    }
    return this.#thrown
  }

  #tick(): void {
    const random = this.#random
    for (const target of this.#options.targets) {
      const count = random.chance(BURST_CHANCE) ? BURST : random.int(0, 2 * PER_TICK)
      for (let i = 0; i < count; i++) this.#throwDatagram(target)
      if (random.chance(0.3)) this.#throwAtBeacon(target)
    }
    this.#stepClients()
  }

  #throwDatagram({ middle, nodeId, peerId }: Target): void {
    const random = this.#random
    const { daemon } = middle
    if (daemon === undefined) return
    const kind = pick(random, Object.keys(DATAGRAMS))
    const target: DatagramTarget = { nodeId, peerId, recorded: middle.recorded }
    const datagram = DATAGRAMS[kind]!(random, target)
    const isBeacons = kind === 'beacon message' || kind === 'relayed frame'
    this.#count(kind)
    const draw = random.next()
    if (draw < (isBeacons ? 0.8 : 0.1)) middle.sendAsBeacon(datagram)
    else if (draw < 0.5) middle.sendAsPeer(datagram)
    else pick(random, this.#sources).send(datagram, daemon.port, '127.0.0.1', ignore)
  }

  #throwAtBeacon({ middle, nodeId, peerId }: Target): void {
    const random = this.#random
    const [address, port] = this.#options.rendezvous.beacon.split(':')
    const target: DatagramTarget = { nodeId, peerId, recorded: middle.recorded }
    const datagram = random.chance(0.6)
      ? beaconMessage(random, target)
      : DATAGRAMS[pick(random, Object.keys(DATAGRAMS))]!(random, target)
    this.#count('at the beacon')
    pick(random, this.#sources).send(datagram, Number(port), address, ignore)
  }

  #stepClients(): void {
    const random = this.#random
    const { rendezvous, targets } = this.#options
    const ids = targets.map(({ nodeId }) => nodeId)
    if (random.chance(0.5))
      this.#clients['daemon sockets'].step(
        () => connectTo(pick(random, targets).socket),
        () => ipcBytes(random),
      )
    if (random.chance(0.5))
      this.#clients.registry.step(
        () => connectFrom(loopback(random), rendezvous.registry),
        () => registryBytes(random, ids),
      )
    if (random.chance(0.2))
      this.#clients['status page'].step(
        () => connectFrom(loopback(random), rendezvous.url.replace('http://', '')),
        () => httpBytes(random),
      )
  }

  #count(what: string): void {
    this.#thrown[what] = (this.#thrown[what] ?? 0) + 1
  }
}

function loopback(random: Random): string {
  return `127.${random.int(1, 254)}.${random.int(0, 255)}.${random.int(1, 254)}`
}
