/** Two fake nodes whose registry, and whose trust, say what was recorded. */
import { PilotError } from '../../core/errors.ts'
import { Identity } from '../../core/identity/identity.ts'
import type { NodeEvent, PilotConnection } from '../../runtimes/shared/api.ts'
import { FakeNetwork, type FakeNode } from '../runtimes/node/fake-node.ts'
import { crypto, hex, vectors } from '../support.ts'
import { readRecorded } from './ipc-frames.ts'

/** Node A of the recordings. */
const SEED = vectors('tunnel-capture').find((one) => one.name === 'main').nodes.A.ed25519_seed_hex

type Reply = Record<string, unknown>

export class IpcWorld {
  readonly near: FakeNode
  readonly far: FakeNode
  readonly identity: Identity = Identity.fromSeed(crypto, hex(SEED))
  /** At the other end of what was dialed. */
  readonly accepted: PilotConnection[] = []
  trusted: Reply = {}
  pending: Reply = {}
  #tell: (event: NodeEvent) => void = () => {}
  #answer: Reply | PilotError = {}

  constructor() {
    const network = new FakeNetwork()
    this.near = network.add(1)
    this.far = network.add(2, 'bob')
    Object.assign(this.near, { publicKey: this.identity.publicKey })
    this.far.listen(4000).onconnection = (connection) => this.accepted.push(connection)
    const ask = async (): Promise<Reply> => {
      if (this.#answer instanceof PilotError) throw this.#answer
      return this.#answer
    }
    const { near } = this
    Object.assign(near.registry, {
      request: ask,
      requestSigned: ask,
      lookup: ask,
      resolveHostname: ask,
    })
    Object.assign(near, {
      setHostname: ask,
      setVisibility: ask,
      setTags: ask,
      setTaskExec: ask,
      deregister: ask,
    })
    Object.assign(near.trust, {
      request: async () => (await ask()) && 'sent',
      approve: async (nodeId: number) => {
        if (nodeId === 99) throw new PilotError('ERR_NOT_PENDING', 'node 99 is not pending')
        this.pending = {}
      },
      revoke: async (nodeId: number) => {
        throw new PilotError('ERR_NOT_TRUSTED', `node ${nodeId} was not trusted`)
      },
      trusted: () => list(this.trusted, 'trusted').map(peerOf),
      pending: () => list(this.pending, 'pending').map(peerOf),
    })
    near.on = ((listener: (event: NodeEvent) => void) => {
      this.#tell = listener
      return () => {}
    }) as typeof near.on
    const { dial } = near
    near.dial = async (target, options) => {
      if (this.#answer instanceof PilotError)
        throw new PilotError('ERR_PEER_UNRESOLVED', this.#answer.message)
      return dial.call(near, target, options)
    }
  }

  /** Connections that the recordings do not show: the next one has this id. */
  async skipConnections(nextId: number): Promise<void> {
    for (let id = 1; id < nextId; id++)
      (await this.near.dial({ address: this.far.address, port: 4000 })).reset()
    this.accepted.length = 0
  }

  /** Node 2 asks for trust, as the recorded topic tells. */
  setPending(pending: Reply): void {
    this.pending = pending
    this.#tell({ type: 'trust-request' } as NodeEvent)
  }

  /** What registry and trust say to the next request: as behind the recorded reply. */
  sayAs(reply: { readonly hex: string } | undefined): void {
    const frame = reply === undefined ? undefined : readRecorded(reply.hex)
    const refusal = /: registry: (.*)$/.exec(frame?.name === 'ERROR' ? `${frame.body}` : '')?.[1]
    this.#answer =
      refusal !== undefined
        ? new PilotError('ERR_REGISTRY', refusal)
        : typeof frame?.body === 'object'
          ? (frame.body as Reply)
          : {}
    if (this.#answer instanceof PilotError) return
    if ('trusted' in this.#answer) this.trusted = this.#answer
  }
}

function list(answer: Reply, name: string): Reply[] {
  const found = answer[name]
  return Array.isArray(found) ? found : []
}

/** As the API names what the wire calls otherwise. */
function peerOf(one: Reply): Reply {
  return {
    nodeId: one.node_id,
    publicKey: one.public_key,
    approvedAt: one.approved_at,
    mutual: one.mutual,
    network: one.network,
    justification: one.justification,
    receivedAt: one.received_at,
  }
}
