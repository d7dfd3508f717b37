/** How many connections a service holds at once: in all, and of one peer, so that one alone keeps nobody out. */
import type { PilotConnection } from '../api.ts'

export class ConnectionGate {
  readonly #max: number
  readonly #perPeerMax: number
  readonly #perPeer = new Map<number, number>()
  #open = 0

  constructor(max: number, perPeerMax: number) {
    this.#max = max
    this.#perPeerMax = perPeerMax
  }

  /** Runs `work` on the connection, or resets it when there are too many. Never throws. */
  admit(connection: PilotConnection, work: (connection: PilotConnection) => Promise<void>): void {
    const { node } = connection.remote.address
    const ofPeer = this.#perPeer.get(node) ?? 0
    if (this.#open >= this.#max || ofPeer >= this.#perPeerMax) {
      connection.reset()
      return
    }
    this.#open++
    this.#perPeer.set(node, ofPeer + 1)
    void work(connection).finally(() => {
      this.#open--
      const left = (this.#perPeer.get(node) ?? 1) - 1
      if (left === 0) this.#perPeer.delete(node)
      else this.#perPeer.set(node, left)
    })
  }
}
