/** A node without UDP in the simulated network: a WebSocket to the rendezvous is a pipe with latency (spec/09). */
import type { Endpoint, Instant } from '../../core/index.ts'
import {
  compatChallenge,
  decodeCompatMessage,
  encodeCompatMessage,
} from '../../core/rendezvous/compat-message.ts'
import { RELAY_ENDPOINT } from '../../runtimes/shared/relay-socket.ts'
import type { CompatConnection, CompatTransmit } from '../../signaling/compat-relay.ts'
import { NodeHost, type NodeHostOptions } from './node-host.ts'
import type { Transmit } from './world.ts'

const LATENCY_MS = 20
const REDIAL_MS = 250

export class RelayedHost extends NodeHost {
  /** What the machine would have sent anywhere but to the relay; nothing should be here. */
  readonly strays: Endpoint[] = []
  /** First byte of everything sent to the relay. */
  readonly types: Set<number> = new Set()
  sent = 0
  readonly #options: NodeHostOptions
  #connection: CompatConnection | undefined
  #state: 'closed' | 'dialing' | 'open' = 'closed'

  constructor(options: NodeHostOptions) {
    super({
      ...options,
      machine: { ...options.machine, beacon: RELAY_ENDPOINT, relayOnly: true },
    })
    this.#options = options
  }

  override pollTransmit(now: Instant): Transmit | undefined {
    for (;;) {
      const transmit = super.pollTransmit(now)
      if (this.machine.nodeId !== 0 && this.#state === 'closed') this.#dial(0)
      if (transmit === undefined) return undefined
      const { to, datagram } = transmit
      if (to !== RELAY_ENDPOINT) this.strays.push(to)
      else {
        this.sent++
        this.#send(datagram.slice())
      }
    }
  }

  #dial(afterMs: number): void {
    const { world, rendezvous } = this.#options
    this.#state = 'dialing'
    world.at(world.now + afterMs + LATENCY_MS, () => {
      if (!rendezvous.isListening) return this.#dial(REDIAL_MS)
      const connection = rendezvous.compat.open(this.endpoint.address, rendezvous.time)
      this.#connection = connection
      rendezvous.channels.set(connection, (one) =>
        world.at(world.now + LATENCY_MS, () => this.#receive(connection, one)),
      )
      world.touch(rendezvous)
    })
  }

  #receive(connection: CompatConnection, one: CompatTransmit): void {
    const { world, rendezvous } = this.#options
    if (connection !== this.#connection) return
    if (one.type === 'binary') {
      rendezvous.compat.handleSent(connection, one.bytes.length)
      this.machine.handleDatagram(one.bytes, RELAY_ENDPOINT, world.now)
      world.touch(this)
    } else if (one.type === 'text') this.#authenticate(connection, one.text)
    else if (one.type === 'ping') rendezvous.compat.handlePong(connection, world.now)
    else {
      this.#connection = undefined
      this.#dial(REDIAL_MS)
    }
  }

  #authenticate(connection: CompatConnection, text: string): void {
    const message = decodeCompatMessage(text)
    if (message.type === 'auth_ok') this.#state = 'open'
    if (message.type !== 'auth_challenge') return
    const { nodeId } = this.machine
    const signature = this.identity.sign(compatChallenge(nodeId, message.nonce, message.ts))
    const reply = encodeCompatMessage({ type: 'auth_reply', nodeId, publicKey: '', signature })
    this.#upstream(connection, ({ compat, time }) => compat.handleText(connection, reply, time))
  }

  #send(datagram: Uint8Array): void {
    this.types.add(datagram[0] ?? -1)
    const connection = this.#connection
    if (connection === undefined || this.#state !== 'open') return
    this.#upstream(connection, ({ beacon, world }) =>
      beacon.handleCompatMessage(connection, datagram, world.now),
    )
  }

  #upstream(
    connection: CompatConnection,
    act: (rendezvous: NodeHostOptions['rendezvous']) => void,
  ): void {
    const { world, rendezvous } = this.#options
    world.at(world.now + LATENCY_MS, () => {
      if (!rendezvous.channels.has(connection)) return
      act(rendezvous)
      world.touch(rendezvous)
    })
  }
}
