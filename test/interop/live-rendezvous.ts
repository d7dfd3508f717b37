/** A rendezvous of some kind on fixed loopback ports and one store, so that it can be killed and come back. */
import type { ChildProcess } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { endProgram, isRunning, type Program, startProgram } from './processes.ts'
import type { Kind } from './programs.ts'

const READY_MS = 10_000

/** Of every rendezvous here that knows one. */
export const ADMIN_TOKEN = 'live-admin'

export class LiveRendezvous {
  readonly registry: string
  readonly beacon: string
  readonly kind: Kind
  readonly #program: Program
  readonly #home: string
  #process: ChildProcess | undefined

  private constructor(
    kind: Kind,
    program: Program,
    home: string,
    registryPort: number,
    beaconPort: number,
  ) {
    this.kind = kind
    this.#program = program
    this.#home = home
    this.registry = `127.0.0.1:${registryPort}`
    this.beacon = `127.0.0.1:${beaconPort}`
  }

  static async create(kind: Kind, program: Program, home: string): Promise<LiveRendezvous> {
    const [tcp, udp] = [await freeTcpPort(), await freeUdpPort()]
    const rendezvous = new LiveRendezvous(kind, program, home, tcp, udp)
    await rendezvous.start()
    return rendezvous
  }

  /** Until the registry takes connections. Gives back the milliseconds it took. */
  async start(): Promise<number> {
    const started = performance.now()
    const args = [
      ...['-registry-addr', this.registry, '-beacon-addr', this.beacon],
      ...['-store', join(this.#home, this.kind === 'ours' ? 'rendezvous.sqlite' : 'state.json')],
      ...(this.kind === 'ours' ? ['-registrations-per-minute', '1000'] : []),
      ...(this.kind === 'G1' ? [] : ['-admin-token', ADMIN_TOKEN]),
    ]
    const child = startProgram(
      this.#program,
      args,
      { HOME: this.#home },
      join(this.#home, 'rendezvous.log'),
    )
    this.#process = child
    const port = Number(this.registry.split(':')[1])
    while (!(await isListening(port))) {
      if (!isRunning(child)) throw new Error('the rendezvous ended at once')
      if (performance.now() - started > READY_MS) throw new Error('the rendezvous is not ready')
      await sleep(30)
    }
    return performance.now() - started
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child !== undefined) await endProgram(child, signal)
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function freeTcpPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

function freeUdpPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    socket.once('error', reject)
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address()
      socket.close(() => resolve(port))
    })
  })
}
