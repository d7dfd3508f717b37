/** A virtual port bound by one client, and the connections waiting to be announced to it. */
import type { PilotConnection, PilotListener } from '../../shared/api.ts'

/** Connections not yet announced to the client (spec/06 §5.1); more are refused. */
const BACKLOG = 64
/**
 * The first Accept waits this long after BindOK: the base driver registers the port only after it
 * has seen the reply, and drops earlier Accepts (spec/06 §7, G1).
 */
const FIRST_ACCEPT_MS = 20

export class PortClaim {
  readonly port: number
  readonly #listener: PilotListener
  readonly #announce: (connection: PilotConnection) => boolean
  readonly #waiting: PilotConnection[] = []
  #timer: NodeJS.Timeout | undefined
  #isOpen = false

  /** `announce` takes a connection, or returns false while the client has no room for it. */
  constructor(listener: PilotListener, announce: (connection: PilotConnection) => boolean) {
    this.port = listener.port
    this.#listener = listener
    this.#announce = announce
    listener.onconnection = (connection) => {
      if (this.#waiting.length >= BACKLOG) connection.reset()
      else {
        this.#waiting.push(connection)
        this.flush()
      }
    }
  }

  /** BindOK was sent. */
  open(): void {
    this.#timer = setTimeout(() => {
      this.#isOpen = true
      this.flush()
    }, FIRST_ACCEPT_MS)
  }

  /** Announces what waits, as far as the client has room. */
  flush(): void {
    while (this.#isOpen && this.#waiting.length > 0) {
      if (!this.#announce(this.#waiting[0]!)) return
      this.#waiting.shift()
    }
  }

  /** Releases the port; connections not announced are reset, the others live on. */
  close(): void {
    clearTimeout(this.#timer)
    this.#isOpen = false
    this.#listener.onconnection = undefined
    this.#listener.close()
    for (const connection of this.#waiting.splice(0)) connection.reset()
  }
}
