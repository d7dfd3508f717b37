/** Nodes that reach the rendezvous of the same worker by its stub: one in a Durable Object, one of a request. */
import { createNode, MemoryStorage, type PilotNode } from '../../runtimes/edge/index.ts'

export { PilotRendezvous } from './workerd-rendezvous.ts'

interface Stub {
  fetch(request: Request | string, init?: object): Promise<Response>
}
interface Namespace {
  idFromName(name: string): unknown
  get(id: unknown): Stub
}
interface Env {
  readonly RENDEZVOUS: Namespace
  readonly LISTENER: Namespace
}

/** The name says nothing: it is the stub that is asked. */
const RENDEZVOUS_URL = 'wss://rendezvous.invalid'

function join({ RENDEZVOUS }: Env): Promise<PilotNode> {
  const stub = RENDEZVOUS.get(RENDEZVOUS.idFromName('rendezvous'))
  return createNode({
    rendezvousUrl: RENDEZVOUS_URL,
    service: { fetch: (url, init) => stub.fetch(url, init) },
    storage: new MemoryStorage(),
    isPublic: true,
  })
}

export class Listener {
  readonly #env: Env
  #node: Promise<PilotNode> | undefined

  constructor(_state: unknown, env: Env) {
    this.#env = env
  }

  async fetch(): Promise<Response> {
    this.#node ??= join(this.#env).then((node) => {
      node.listen(4000).onconnection = (connection) => {
        void connection.readable.pipeTo(connection.writable)
      }
      return node
    })
    return new Response(`${(await this.#node).nodeId}`)
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const listener = env.LISTENER.get(env.LISTENER.idFromName('listener'))
    const nodeId = await (await listener.fetch(request.url)).text()
    await using node = await join(env)
    const connection = await node.dial(`${nodeId}:4000`)
    const [answer] = await Promise.all([
      new Response(connection.readable).text(),
      new Response(await request.text()).body?.pipeTo(connection.writable),
    ])
    return new Response(answer)
  },
}
