/** How good the way to a peer is: round trips through the tunnel, and bytes through its echo and back. */
import { type Signal, signal } from '@preact/signals'
import { PORT } from '../../../core/constants.ts'
import type { PilotNode } from '../../../runtimes/browser/index.ts'
import { AsyncStream } from '../../../runtimes/shared/services/async-stream.ts'
import { formatBytes, formatMs, formatRate, percentile } from './format.ts'
import { wordsOf } from './plain-words.ts'

export type BenchState =
  | { readonly name: 'idle' }
  | { readonly name: 'running'; readonly what: string; readonly share: number }
  | { readonly name: 'done'; readonly ping: string; readonly throughput: string }
  | { readonly name: 'failed'; readonly reason: string }

const PINGS = 20
const PING_TIMEOUT_MS = 3000
const ECHO_BYTES: number = 8 << 20
const WRITE_BYTES = 64 << 10
const SILENCE_MS = 15_000

export class Bench {
  readonly state: Signal<BenchState> = signal({ name: 'idle' })
  readonly #node: PilotNode
  readonly #nodeId: number
  #stop = new AbortController()

  constructor(node: PilotNode, nodeId: number) {
    this.#node = node
    this.#nodeId = nodeId
  }

  async run(): Promise<void> {
    if (this.state.value.name === 'running') return
    this.#stop = new AbortController()
    try {
      const ping = await this.#ping()
      const throughput = await this.#echo()
      this.state.value = { name: 'done', ping, throughput }
    } catch (error) {
      this.state.value = { name: 'failed', reason: wordsOf(error) }
    }
  }

  cancel(): void {
    this.#stop.abort()
  }

  async #ping(): Promise<string> {
    const times: number[] = []
    const { signal: stop } = this.#stop
    for (let i = 0; i < PINGS; i++) {
      this.state.value = { name: 'running', what: 'Pinging', share: i / PINGS }
      try {
        const options = { timeoutMs: PING_TIMEOUT_MS, signal: stop }
        times.push(await this.#node.ping({ network: 0, node: this.#nodeId }, options))
      } catch (error) {
        // One lost ping is a figure; none answered is no way at all.
        if (stop.aborted || (times.length === 0 && i >= 2)) throw error
      }
    }
    return (
      `p50 ${formatMs(percentile(times, 0.5))} · p95 ${formatMs(percentile(times, 0.95))} · ` +
      `${PINGS - times.length} of ${PINGS} lost`
    )
  }

  async #echo(): Promise<string> {
    const target = { address: { network: 0, node: this.#nodeId }, port: PORT.echo }
    const { signal: stop } = this.#stop
    this.state.value = { name: 'running', what: 'Connecting to its echo', share: 0 }
    const connection = await this.#node.dial(target, { signal: stop })
    const stream = new AsyncStream(connection)
    let timer: ReturnType<typeof setTimeout> | undefined
    const alive = (): void => {
      clearTimeout(timer)
      timer = setTimeout(() => connection.reset(), SILENCE_MS)
    }
    const reset = (): void => connection.reset()
    stop.addEventListener('abort', reset)
    const started = performance.now()
    try {
      alive()
      const writing = this.#write(stream)
      writing.catch(() => {})
      let received = 0
      for (let chunk = await stream.read(); chunk !== undefined; chunk = await stream.read()) {
        received += chunk.length
        alive()
        this.state.value = { name: 'running', what: 'Echo', share: received / ECHO_BYTES }
        if (received === ECHO_BYTES) break
      }
      await writing
      if (received < ECHO_BYTES) throw new Error(`Only ${formatBytes(received)} came back.`)
      const seconds = (performance.now() - started) / 1000
      return `${formatBytes(ECHO_BYTES)} there and back in ${formatMs(seconds * 1000)} · ${formatRate(ECHO_BYTES / seconds)} each way`
    } finally {
      clearTimeout(timer)
      stop.removeEventListener('abort', reset)
      connection.reset()
    }
  }

  async #write(stream: AsyncStream): Promise<void> {
    // Content does not matter: it is sealed on the way.
    const block = crypto.getRandomValues(new Uint8Array(WRITE_BYTES))
    for (let written = 0; written < ECHO_BYTES; written += WRITE_BYTES) await stream.write(block)
  }
}
