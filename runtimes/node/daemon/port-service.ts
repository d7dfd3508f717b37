/** A built-in service on its port; one that is lent gives way to a program that binds the port. */
import { PilotError } from '../../../core/errors.ts'
import type { PilotConnection, PilotListener, PilotNode } from '../../shared/api.ts'
import type { LentPort } from '../ipc/server.ts'

export class PortService implements LentPort {
  readonly port: number
  readonly #node: PilotNode
  readonly #serve: (connection: PilotConnection) => void
  #listener: PilotListener | undefined

  constructor(node: PilotNode, port: number, serve: (connection: PilotConnection) => void) {
    this.#node = node
    this.port = port
    this.#serve = serve
    this.restore()
  }

  release(): void {
    this.#listener?.close()
    this.#listener = undefined
  }

  restore(): void {
    if (this.#listener !== undefined) return
    try {
      this.#listener = this.#node.listen(this.port)
      this.#listener.onconnection = this.#serve
    } catch (error) {
      // Somebody holds it now, or the node is closing; the next return of the port tries again.
      if (!(error instanceof PilotError)) throw error
    }
  }
}
