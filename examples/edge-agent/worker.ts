/**
 * An agent at the edge: a Durable Object that keeps a node, and a question asked within one request. With the
 * `wrangler.jsonc` beside it, and `PILOT_RENDEZVOUS` naming a rendezvous (`npx pilot-rendezvous -http :8080`):
 *
 *     GET  /             number of the agent's node
 *     POST /ask/<number> asks another agent what the body says, from a node that lives as long as the request
 */
import { createNode, DurableStorage, type PilotNode } from 'pilot-ts/edge'

interface Env {
  readonly PILOT_RENDEZVOUS: string
  readonly AGENT: DurableObjectNamespace
}

/** It must be awake to be reached: the alarm brings it back after the object was evicted or moved. */
const AWAKE_MS = 30_000

export class Agent {
  readonly #ctx: DurableObjectState
  readonly #env: Env
  #node: Promise<PilotNode> | undefined

  constructor(ctx: DurableObjectState, env: Env) {
    this.#ctx = ctx
    this.#env = env
  }

  async fetch(): Promise<Response> {
    const { nodeId } = await this.#started()
    return new Response(`${nodeId}`)
  }

  async alarm(): Promise<void> {
    await this.#started()
  }

  async #started(): Promise<PilotNode> {
    await this.#ctx.storage.setAlarm(Date.now() + AWAKE_MS)
    this.#node ??= this.#start()
    try {
      return await this.#node
    } catch (error) {
      this.#node = undefined
      throw error
    }
  }

  async #start(): Promise<PilotNode> {
    const node = await createNode({
      rendezvousUrl: this.#env.PILOT_RENDEZVOUS,
      storage: new DurableStorage(this.#ctx.storage), // the address belongs to the key that is kept there
      isPublic: true,
    })
    node.listen(4000).onconnection = async (connection) => {
      const question = await new Response(connection.readable).text()
      await new Response(`the edge heard: ${question}`).body?.pipeTo(connection.writable)
    }
    return node
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const peer = /^\/ask\/(\d+)$/.exec(new URL(request.url).pathname)?.[1]
    if (peer === undefined) return env.AGENT.get(env.AGENT.idFromName('agent')).fetch(request)
    await using node = await createNode({ rendezvousUrl: env.PILOT_RENDEZVOUS })
    const connection = await node.dial(`${peer}:4000`)
    const [answer] = await Promise.all([
      new Response(connection.readable).text(),
      new Response(await request.text()).body?.pipeTo(connection.writable),
    ])
    return new Response(answer)
  },
}

// `wrangler types` writes these for a project of its own.
interface DurableObjectState {
  readonly storage: {
    get(key: string): Promise<unknown>
    put(key: string, value: unknown): Promise<void>
    sync(): Promise<void>
    setAlarm(at: number): Promise<void>
  }
}
interface DurableObjectNamespace {
  idFromName(name: string): unknown
  get(id: unknown): { fetch(request: Request): Promise<Response> }
}
