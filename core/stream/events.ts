/** What a connection tells its owner, as a set of bits: nothing is allocated, and nothing can pile up. */

/**
 * - `connected`: bytes may flow; once.
 * - `readable`: `read` gives bytes again after it gave none.
 * - `writable`: there is room again after a short `write`.
 * - `ended`: the peer's end of stream arrived; bytes before it may still be unread. Once.
 * - `closed`: the stream is over, cleanly or by `failure`; once and last. The state is then `TIME_WAIT`
 *   or `CLOSED`; hand segments and timeouts to the connection until it is `CLOSED`.
 */
export type ConnectionEvent = 'connected' | 'readable' | 'writable' | 'ended' | 'closed'

/** In the order in which pending events are given. */
const EVENTS: readonly ConnectionEvent[] = ['connected', 'readable', 'writable', 'ended', 'closed']
const BIT = { connected: 1, readable: 2, writable: 4, ended: 8, closed: 16 } as const

export class EventSet {
  #pending = 0

  add(event: ConnectionEvent): void {
    this.#pending |= BIT[event]
  }

  remove(event: ConnectionEvent): void {
    this.#pending &= ~BIT[event]
  }

  poll(): ConnectionEvent | undefined {
    if (this.#pending === 0) return undefined
    for (const event of EVENTS) {
      if ((this.#pending & BIT[event]) === 0) continue
      this.remove(event)
      return event
    }
    return undefined
  }
}
