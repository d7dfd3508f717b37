/** What is behind one WebSocket of the object: a node at the relay, or a client of the registry. */
import { COMPAT_CLOSE, COMPAT_MESSAGE_MAX } from '../../core/rendezvous/compat-message.ts'
import type { CompatConnection, StoredConnection } from '../compat-relay.ts'
import type { CompatWires } from '../compat-wires.ts'
import type { RegistrySession } from '../registry-sessions.ts'
import type { HibernatingSocket } from './platform.ts'
import type { SessionTable } from './session-table.ts'
import type { SocketChannel } from './sockets.ts'

/** What the socket carries through the sleep of the object. */
export type Attachment =
  | { readonly kind: 'relay'; readonly connection: StoredConnection }
  | {
      readonly kind: 'registry'
      /** Of the session's row. */
      readonly id: number
      readonly source: string
      readonly frameAt: number
      readonly begunAt: number | undefined
    }

export interface Link {
  read(message: string | Uint8Array): void
  /** Leaves with the socket, and in the storage, what it takes to go on after a sleep. */
  keep(): void
  closed(): void
}

/** Times with a socket may be so much older than the truth. */
const GRAIN_MS = 5000

export class RelayLink implements Link {
  readonly #socket: HibernatingSocket
  readonly #wires: CompatWires
  readonly #connection: CompatConnection
  /** The node behind it has just proven itself. */
  readonly #onauthenticated: (connection: CompatConnection) => void
  #kept: StoredConnection | undefined

  constructor(
    socket: HibernatingSocket,
    wires: CompatWires,
    connection: CompatConnection,
    onauthenticated: (connection: CompatConnection) => void,
  ) {
    this.#socket = socket
    this.#wires = wires
    this.#connection = connection
    this.#onauthenticated = onauthenticated
  }

  read(message: string | Uint8Array): void {
    const connection = this.#connection
    const before = connection.state
    this.#wires.read(connection, message)
    if (before === 'challenged' && connection.state === 'open') this.#onauthenticated(connection)
  }

  keep(): void {
    const { source, nonce, challengedAt, openedAt, state, nodeId, heardAt } = this.#connection
    if (state === 'closed') return
    if (this.#kept?.state === state && heardAt - this.#kept.heardAt < GRAIN_MS) return
    this.#kept = { source, nonce, challengedAt, openedAt, state, nodeId, heardAt }
    this.#socket.serializeAttachment({
      kind: 'relay',
      connection: this.#kept,
    } satisfies Attachment)
  }

  closed(): void {
    this.#wires.closed(this.#connection)
  }
}

export interface RegistryLinkParts {
  readonly id: number
  readonly source: string
  readonly session: RegistrySession
  readonly channel: SocketChannel
  readonly table: SessionTable
  /** Nodes that this client has proven to be. */
  readonly onproven: (nodeIds: readonly number[]) => void
  /** Gives its place among the connections back. */
  readonly release: () => void
}

export class RegistryLink implements Link {
  readonly #socket: HibernatingSocket
  readonly #parts: RegistryLinkParts

  constructor(socket: HibernatingSocket, parts: RegistryLinkParts) {
    this.#socket = socket
    this.#parts = parts
  }

  read(message: string | Uint8Array): void {
    const { session, channel } = this.#parts
    const { code, reason } = COMPAT_CLOSE.tooLarge
    if (typeof message === 'string') channel.close(1003, 'binary messages only')
    else if (message.length > COMPAT_MESSAGE_MAX) channel.close(code, reason)
    else session.read(message)
  }

  keep(): void {
    const { id, source, session, channel, table, onproven } = this.#parts
    const state = channel.destroyed ? undefined : session.state()
    if (state === undefined) return
    const { frameAt, begunAt } = state
    table.save(id, state)
    onproven(state.connection.proven.map(([nodeId]) => nodeId))
    this.#socket.serializeAttachment({
      kind: 'registry',
      id,
      source,
      frameAt,
      begunAt,
    } satisfies Attachment)
  }

  closed(): void {
    const { id, session, table, release } = this.#parts
    session.closed()
    table.delete(id)
    release()
  }
}
