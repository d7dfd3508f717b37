/** What two agents do all the while: streams that must carry every byte, and messages that must arrive. */

import { PORT } from '../../core/constants.ts'
import { DATA_FRAME, encodeDataFrame } from '../../core/service/data-exchange.ts'
import { DataExchangeClient } from '../../runtimes/node/cli/data-exchange-client.ts'
import { DaemonClient } from '../../runtimes/node/ipc/client.ts'
import type { DaemonConnection } from '../../runtimes/node/ipc/client-connection.ts'
import type { Random } from '../sim/random.ts'

const OPERATION_MS = 20_000
const ECHO_BYTES_MAX = 200_000

/** One direction: from the daemon on `socket` to node `to`. */
export class Workload {
  readonly counts = { pings: 0, echoes: 0, echoedBytes: 0, messages: 0, lines: 0 }
  readonly failures: string[] = []
  /** Ms of every ping. */
  readonly latencies: number[] = []
  readonly #name: string
  readonly #socket: string
  readonly #to: number
  readonly #random: Random
  #isStopping = false

  constructor(name: string, socket: string, to: number, random: Random) {
    this.#name = name
    this.#socket = socket
    this.#to = to
    this.#random = random
  }

  /** Runs until `stop`; each kind of work goes on by itself, so that one that hangs hides no other. */
  async run(pauseMs: number): Promise<void> {
    await using daemon = await DaemonClient.connect(this.#socket)
    await Promise.all([
      this.#repeat('ping', pauseMs, () => this.#ping(daemon)),
      this.#repeat('echo', pauseMs, () => this.#echo(daemon)),
      this.#repeat('message', 2 * pauseMs, () => this.#message(daemon)),
      this.#keepOneStream(daemon, pauseMs),
    ])
  }

  stop(): void {
    this.#isStopping = true
  }

  async #repeat(what: string, pauseMs: number, work: () => Promise<void>): Promise<void> {
    while (!this.#isStopping) {
      try {
        await work()
      } catch (error) {
        this.#fail(what, error)
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }

  async #ping(daemon: DaemonClient): Promise<void> {
    const started = performance.now()
    await this.#exchange(daemon, this.#random.bytes(8))
    this.latencies.push(performance.now() - started)
    this.counts.pings++
  }

  async #echo(daemon: DaemonClient): Promise<void> {
    const data = this.#random.bytes(this.#random.int(1, ECHO_BYTES_MAX))
    await this.#exchange(daemon, data)
    this.counts.echoes++
    this.counts.echoedBytes += data.length
  }

  async #exchange(daemon: DaemonClient, data: Uint8Array): Promise<void> {
    const connection = await this.#dial(daemon, PORT.echo)
    try {
      await roundTrip(connection, data)
    } finally {
      connection.close()
    }
  }

  async #message(daemon: DaemonClient): Promise<void> {
    const text = Buffer.from(this.#random.bytes(30)).toString('base64')
    const connection = await this.#dial(daemon, PORT.dataExchange)
    try {
      const frame = encodeDataFrame(DATA_FRAME.text, Buffer.from(text))
      const signal = AbortSignal.timeout(OPERATION_MS)
      const answer = await new DataExchangeClient(connection).exchange(frame, signal)
      if (answer !== `ACK TEXT ${text.length} bytes`) throw new Error(`answered ${answer}`)
      this.counts.messages++
    } finally {
      connection.close()
    }
  }

  /** A stream that is open from beginning to end. */
  async #keepOneStream(daemon: DaemonClient, pauseMs: number): Promise<void> {
    try {
      const connection = await this.#dial(daemon, PORT.echo)
      while (!this.#isStopping) {
        await roundTrip(connection, this.#random.bytes(100))
        this.counts.lines++
        await new Promise((resolve) => setTimeout(resolve, pauseMs))
      }
      connection.close()
    } catch (error) {
      this.#fail('the stream that stays open', error)
    }
  }

  #dial(daemon: DaemonClient, port: number): Promise<DaemonConnection> {
    const to = { address: { network: 0, node: this.#to }, port }
    return daemon.dial(to, { signal: AbortSignal.timeout(OPERATION_MS) })
  }

  #fail(what: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    this.failures.push(`${this.#name}: ${what}: ${reason}`)
  }
}

/** @throws when what comes back is not what was sent. */
async function roundTrip(connection: DaemonConnection, data: Uint8Array): Promise<void> {
  const signal = AbortSignal.timeout(OPERATION_MS)
  const writing = connection.write(data)
  const echoed = Buffer.alloc(data.length)
  for (let at = 0; at < data.length; ) {
    const piece = await connection.read({ signal })
    if (piece === undefined) throw new Error(`the stream ended after ${at} of ${data.length} bytes`)
    if (at + piece.length > data.length) throw new Error('more came back than was sent')
    echoed.set(piece, at)
    at += piece.length
  }
  await writing
  if (!echoed.equals(data)) throw new Error(`${data.length} bytes came back changed`)
}
