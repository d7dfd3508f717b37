/** Runs a node machine on a socket, a registry connection and a clock: the only loop there is. */
import {
  type NodeMachine,
  type NodeMachineEvent,
  type Stream,
  TRANSMIT_BUFFER_BYTES,
} from '../../core/index.ts'
import type { Clock } from './clock.ts'
import { CryptoEdge } from './crypto-edge.ts'
import type { ByteStream, DatagramSocket, RegistryConnector } from './transport.ts'

/** Datagrams that a socket keeps stand one behind the other in a slab, which is left to the garbage collector then. */
const SLAB_BYTES = 1 << 20
/** Sent by one reading of the clock. */
const CLOCK_DATAGRAMS = 16
/** A timer that fires so late means that the machine slept (or the process was stopped). */
const SLEEP_MS = 10_000

export interface DriverOptions {
  readonly machine: NodeMachine
  readonly socket: DatagramSocket
  readonly registry: RegistryConnector
  readonly clock: Clock
  /** The machine's AEADs answer later: seal and open here. */
  readonly isEdge?: boolean
  /** Every event but those the driver handles itself. */
  readonly onevent: (event: NodeMachineEvent) => void
  readonly onstream: (stream: Stream) => void
}

export class Driver {
  readonly #options: DriverOptions
  /** Where AES-GCM answers later. */
  readonly #edge: CryptoEdge | undefined
  #slab = new Uint8Array(SLAB_BYTES)
  #slabAt = 0
  #registry: ByteStream | undefined
  #isDraining = false
  #isScheduled = false
  #isStopped = false
  #cancelTimer: () => void = () => {}
  #armedAt: number | undefined
  /** Something happened since the last tick that was due at once: it may be done without a timer. */
  #mayTickSoon = true

  constructor(options: DriverOptions) {
    this.#options = options
    const { machine, socket, clock } = options
    if (options.isEdge === true)
      this.#edge = new CryptoEdge({
        machine,
        socket,
        now: () => clock.now(),
        handled: () => this.drain(),
      })
    socket.onpressure = (endpoint, isFull) => {
      machine.paths.setPaused(endpoint, isFull)
      if (!isFull) this.schedule()
    }
    socket.ondatagram = (datagram, from) => {
      if (this.#isStopped) return
      this.#mayTickSoon = true
      if (this.#edge !== undefined) return this.#edge.receive(datagram, from)
      machine.handleDatagram(datagram, from, clock.now())
      this.drain()
    }
  }

  /** Drains once the current piece of work is done: several API calls share one drain. */
  schedule(): void {
    this.#mayTickSoon = true
    if (this.#isScheduled || this.#isDraining) return
    this.#isScheduled = true
    queueMicrotask(() => {
      this.#isScheduled = false
      this.drain()
    })
  }

  drain(): void {
    if (this.#isDraining || this.#isStopped) return // the loop already running picks it up
    this.#isDraining = true
    const { machine, onstream } = this.#options
    try {
      for (;;) {
        const sent = this.#transmit()
        const event = machine.pollEvent()
        if (event !== undefined) this.#handleEvent(event)
        const stream = machine.pollStream()
        if (stream !== undefined) onstream(stream)
        if (!sent && event === undefined && stream === undefined) break
      }
    } finally {
      this.#isDraining = false
      this.#arm()
    }
  }

  /** Handlers are called no more; nothing is sent any more. */
  stop(): void {
    this.#isStopped = true
    this.#cancelTimer()
    this.#registry?.close()
    this.#options.socket.ondatagram = undefined
    this.#options.socket.onpressure = undefined
  }

  #transmit(): boolean {
    const { machine, socket, clock } = this.#options
    let now = clock.now()
    for (let sent = 0; ; sent++) {
      // Reading the clock costs as much as building a header; a batch takes less than its resolution matters.
      if (sent % CLOCK_DATAGRAMS === CLOCK_DATAGRAMS - 1) now = clock.now()
      if (SLAB_BYTES - this.#slabAt < TRANSMIT_BUFFER_BYTES) {
        this.#slab = new Uint8Array(SLAB_BYTES)
        this.#slabAt = 0
      }
      const at = this.#slabAt // stays where it is while nobody keeps anything
      const buffer = this.#slab.subarray(at, at + TRANSMIT_BUFFER_BYTES)
      const transmit = machine.pollTransmit(buffer, now)
      if (transmit === undefined) return sent > 0
      if (this.#edge !== undefined) this.#edge.send(buffer, transmit)
      else if (socket.send(buffer.subarray(transmit.start, transmit.end), transmit.to)) continue
      this.#slabAt = at + transmit.end
    }
  }

  #handleEvent(event: NodeMachineEvent): void {
    if (event.type === 'registry-connect') this.#connectRegistry()
    else if (event.type === 'registry-send') this.#registry?.write(event.bytes)
    else if (event.type === 'registry-disconnect') {
      this.#registry?.close()
      this.#registry = undefined
    } else this.#options.onevent(event)
  }

  #connectRegistry(): void {
    const { machine, registry, clock } = this.#options
    this.#registry?.close()
    const stream = registry.connect({
      onconnect: () => {
        machine.handleRegistryConnected(clock.now())
        this.drain()
      },
      ondata: (bytes) => {
        machine.handleRegistryData(bytes, clock.now())
        this.drain()
      },
      onclose: (reason) => {
        if (this.#registry !== stream) return
        this.#registry = undefined
        machine.handleRegistryDisconnected(reason, clock.now())
        this.drain()
      },
    })
    this.#registry = stream
  }

  #arm(): void {
    const at = this.#options.machine.pollTimeout()
    if (this.#isStopped || at === undefined) return this.#cancelTimer()
    // A timer that fires a little early is harmless; one more per packet is not.
    if (this.#armedAt !== undefined && this.#armedAt <= at) return
    this.#cancelTimer()
    this.#armedAt = at
    const { clock } = this.#options
    const tick = (): void => this.#tick(at)
    if (this.#mayTickSoon && clock.soon !== undefined && at <= clock.now()) {
      this.#mayTickSoon = false
      this.#cancelTimer = clock.soon(tick)
    } else this.#cancelTimer = clock.schedule(at, tick)
  }

  #tick(at: number): void {
    const { machine, clock } = this.#options
    this.#armedAt = undefined
    const now = clock.now()
    if (now - at > SLEEP_MS) machine.handleNetworkChange(now)
    machine.handleTimeout(now)
    this.drain()
  }
}
