/**
 * The rendezvous as a Cloudflare Worker (workerd): `pilot-ts/signaling/workerd`. A worker's main module may be no more
 * than `export { default, PilotRendezvous } from 'pilot-ts/signaling/workerd'`.
 */
import type { ObjectState } from './workerd/platform.ts'
import { RendezvousObject, type WorkerRendezvousOptions } from './workerd/rendezvous-object.ts'

export type { CompatLimits, RegistryLimits } from './limits.ts'
export type { ConnectionLimits } from './registry-sessions.ts'
export type { HibernatingSocket, ObjectState, ObjectStorage } from './workerd/platform.ts'
export { RendezvousObject, type WorkerRendezvousOptions } from './workerd/rendezvous-object.ts'

/** As much of the worker's environment as is used here. */
export interface RendezvousEnv {
  /** The Durable Object's binding. */
  readonly RENDEZVOUS?: RendezvousNamespace
  /** Secret, see `adminToken`. */
  readonly PILOT_ADMIN_TOKEN?: string
  /** Origins of pages that may connect, separated by commas. Default any. */
  readonly PILOT_ORIGINS?: string
}

export interface RendezvousNamespace {
  idFromName(name: string): unknown
  get(id: unknown): { fetch(request: Request): Promise<Response> }
}

/**
 * The Durable Object class, with its options from the environment. For other limits a class of one's own:
 * `class Mine extends RendezvousObject { constructor(ctx, env) { super(ctx, { limits: { … } }) } }`.
 */
export class PilotRendezvous extends RendezvousObject {
  constructor(ctx: ObjectState, env: RendezvousEnv) {
    super(ctx, optionsOf(env))
  }
}

/** What the environment of a worker says: `PILOT_ADMIN_TOKEN`, and `PILOT_ORIGINS` with commas between. */
export function optionsOf({
  PILOT_ADMIN_TOKEN: adminToken,
  PILOT_ORIGINS,
}: RendezvousEnv): WorkerRendezvousOptions {
  const origins = PILOT_ORIGINS?.split(',')
    .map((origin) => origin.trim())
    .filter((origin) => origin !== '')
  return {
    ...(adminToken === undefined || adminToken === '' ? {} : { adminToken }),
    ...(origins === undefined || origins.length === 0 ? {} : { origins }),
  }
}

/** Everything goes to one object: who is registered is known in one place. */
const worker: { fetch(request: Request, env: RendezvousEnv): Promise<Response> } = {
  async fetch(request, { RENDEZVOUS }) {
    if (RENDEZVOUS === undefined)
      return new Response('the worker needs a Durable Object binding named RENDEZVOUS', {
        status: 500,
      })
    return RENDEZVOUS.get(RENDEZVOUS.idFromName('rendezvous')).fetch(request)
  },
}
export default worker
