/** The worker in workerd: nodes in a Durable Object, which does what one process does elsewhere. */
import {
  createNode,
  type DurableObjectStorageLike,
  DurableStorage,
} from '../../runtimes/edge/index.ts'
import { work } from './worker.ts'

export class ConformanceObject {
  readonly #storage: DurableStorage

  constructor({ storage }: { readonly storage: DurableObjectStorageLike }) {
    this.#storage = new DurableStorage(storage)
  }

  async fetch(request: Request): Promise<Response> {
    const storage = this.#storage
    await work({
      runtime: 'workerd',
      create: ({ identity, ...options }) =>
        createNode({ ...options, ...(identity === undefined ? {} : { identity, storage }) }),
      hasWebRtc: false,
      settings: await request.text(),
    })
    return new Response('done')
  }
}

interface Namespace {
  idFromName(name: string): unknown
  get(id: unknown): { fetch(request: Request): Promise<Response> }
}

export default {
  fetch(request: Request, { CONFORMANCE }: { readonly CONFORMANCE: Namespace }): Promise<Response> {
    return CONFORMANCE.get(CONFORMANCE.idFromName('conformance')).fetch(request)
  },
}
