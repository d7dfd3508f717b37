/**
 * Lends a node to users elsewhere: other threads, other tabs. Each has the whole API over a lane of its own, as
 * if the node were there; what a user holds is released when it goes.
 */
import { PilotError } from '../../../core/index.ts'
import type { PilotNode } from '../api.ts'
import { HostUser } from './host-user.ts'
import type { Lane } from './lane.ts'

/** More are refused. */
const USERS_MAX = 64
const CLOSE_TIMEOUT_MS = 2000

export interface NodeHostOptions {
  /** A user's `close()`: its own things are drained already. Default: nothing, the user just goes. */
  readonly onclose?: (timeoutMs: number) => Promise<void>
}

export class NodeHost {
  readonly #node: PilotNode
  readonly #options: NodeHostOptions
  readonly #users = new Set<HostUser>()
  readonly #ports = new Map<number, HostUser>()
  readonly #unsubscribe: () => void
  readonly #drops: { malformed: number; datagrams: number } = { malformed: 0, datagrams: 0 }
  #isClosed = false

  constructor(node: PilotNode, options: NodeHostOptions = {}) {
    this.#node = node
    this.#options = options
    this.#unsubscribe = node.on((event) => {
      for (const user of [...this.#users]) user.handleEvent(event)
    })
  }

  get users(): number {
    return this.#users.size
  }

  /** Streams that users hold. */
  get streams(): number {
    let count = 0
    for (const user of this.#users) count += user.streams
    return count
  }

  /** Messages that were none, and datagrams that somebody could not take, of all users so far. */
  get drops(): Readonly<Record<'malformed' | 'datagrams', number>> {
    const sum = { ...this.#drops }
    for (const { drops } of this.#users) {
      sum.malformed += drops.malformed
      sum.datagrams += drops.datagrams
    }
    return sum
  }

  /** Serves whoever speaks on the lane; returns what ends that, e.g. when the user is known to be gone. */
  serve(lane: Lane): () => void {
    const refusal = this.#refusal
    const user = new HostUser({
      node: this.#node,
      lane,
      ...(refusal === undefined ? {} : { refusal }),
      ports: this.#ports,
      onclosecall: (one, timeoutMs) => this.#closeFor(one, timeoutMs ?? CLOSE_TIMEOUT_MS),
      onchange: (by, parts) => {
        for (const one of this.#users) if (one !== by) one.handleChange(parts)
      },
      ongone: (one) => {
        this.#users.delete(one)
        this.#drops.malformed += one.drops.malformed
        this.#drops.datagrams += one.drops.datagrams
      },
    })
    this.#users.add(user)
    return () => user.release()
  }

  /** Lets every user go. The node lives on. */
  close(error: PilotError = new PilotError('ERR_NODE_CLOSED', 'the node is closed')): void {
    this.#isClosed = true
    this.#unsubscribe()
    for (const user of [...this.#users]) user.release(error)
  }

  get #refusal(): PilotError | undefined {
    if (this.#isClosed) return new PilotError('ERR_NODE_CLOSED', 'the node is closed')
    if (this.#users.size < USERS_MAX) return undefined
    return new PilotError('ERR_LIMIT', `more than ${USERS_MAX} users of one node`)
  }

  async #closeFor(user: HostUser, timeoutMs: number): Promise<void> {
    const until = performance.now() + timeoutMs
    await user.drain(timeoutMs)
    await this.#options.onclose?.(Math.max(0, until - performance.now()))
  }
}
