/** A registry on virtual clocks with clients that sign, for the tests of this folder. */
import { expect } from 'vitest'
import { Identity } from '../../core/identity/identity.ts'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'
import { Registry, type RegistryOptions } from '../../signaling/registry.ts'
import { RegistryConnection } from '../../signaling/registry-connection.ts'
import { MemoryStore } from '../../signaling/registry-store.ts'
import { crypto } from '../support.ts'

export const START_SECONDS = 1_800_000_000

export class RegistryBench {
  /** Milliseconds since the start; set it to let time pass. */
  at = 0
  readonly registry: Registry
  readonly startSeconds: number

  constructor(options: Partial<RegistryOptions> = {}, startSeconds: number = START_SECONDS) {
    this.startSeconds = startSeconds
    this.registry = new Registry(
      { store: new MemoryStore(), verify: crypto.ed25519Verify, ...options },
      this.now,
    )
  }

  get now(): { at: number; unixSeconds: number } {
    return { at: this.at, unixSeconds: this.startSeconds + Math.floor(this.at / 1000) }
  }

  /** A TCP connection from this address. */
  connect(address = '192.0.2.1', port = 50_000): BenchConnection {
    return new BenchConnection(this, new RegistryConnection({ address, port }))
  }

  /** A node with its own key, registered over its own connection. */
  node(name: string, { address = '192.0.2.1', isPublic = false, owner = '' } = {}): BenchNode {
    const node = new BenchNode(this.connect(address), identity(name))
    node.register(owner === '' ? {} : { owner })
    if (isPublic) node.signed('set_visibility', { public: true })
    return node
  }

  /** Lets time pass in one step, with the timer running at its end. */
  pass(ms: number): void {
    this.at += ms
    this.registry.handleTimeout(this.now)
  }
}

export class BenchConnection {
  readonly bench: RegistryBench
  readonly connection: RegistryConnection
  constructor(bench: RegistryBench, connection: RegistryConnection) {
    this.bench = bench
    this.connection = connection
  }

  send(message: RegistryMessage): RegistryMessage {
    return this.bench.registry.handle(message, this.connection, this.bench.now).reply
  }
}

export class BenchNode {
  connection: BenchConnection
  identity: Identity
  id = 0
  constructor(connection: BenchConnection, identity: Identity) {
    this.connection = connection
    this.identity = identity
  }

  get key(): string {
    return Buffer.from(this.identity.publicKey).toString('base64')
  }

  register(fields: RegistryMessage = {}): RegistryMessage {
    const reply = this.connection.send({
      type: 'register',
      public_key: this.key,
      listen_addr: ':4000',
      ...fields,
    })
    if (typeof reply.node_id === 'number') this.id = reply.node_id
    return reply
  }

  /** An operation on itself: `<type>:<id>` is what is signed. */
  signed(type: string, fields: RegistryMessage = {}): RegistryMessage {
    return this.send({ type, node_id: this.id, ...fields }, `${type}:${this.id}`)
  }

  heartbeat(): RegistryMessage {
    return this.signed('heartbeat')
  }

  poll(): RegistryMessage {
    return this.signed('poll_handshakes')
  }

  /** An operation between itself and a peer. */
  toward(type: string, peer: BenchNode, fields: RegistryMessage = {}): RegistryMessage {
    const { id } = this
    const [text, members]: [string, RegistryMessage] =
      type === 'resolve'
        ? [`resolve:${id}:${peer.id}`, { requester_id: id, node_id: peer.id }]
        : type === 'request_handshake'
          ? [`handshake:${id}:${peer.id}`, { from_node_id: id, to_node_id: peer.id }]
          : type === 'respond_handshake'
            ? [`respond:${id}:${peer.id}`, { node_id: id, peer_id: peer.id }]
            : [`${type}:${id}:${peer.id}`, { node_id: id, peer_id: peer.id }]
    return this.send({ type, ...members, ...fields }, text)
  }

  send(message: RegistryMessage, challenge: string): RegistryMessage {
    return this.connection.send({ ...message, signature: this.identity.signBase64(challenge) })
  }

  lookup(): RegistryMessage {
    return this.connection.send({ type: 'lookup', node_id: this.id })
  }
}

export function identity(name: string): Identity {
  return Identity.fromSeed(crypto, crypto.sha256(new Uint8Array(Buffer.from(name))))
}

/** An error answer, with this text if one is given. */
export function refused(error: unknown = expect.any(String)): RegistryMessage {
  return { type: 'error', error }
}
