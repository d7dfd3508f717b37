/** The rendezvous in workerd, as users have it, with room for the registrations of a run. */
import { type ObjectState, RendezvousObject } from '../../signaling/serve-workerd.ts'

export { default } from '../../signaling/serve-workerd.ts'

export class PilotRendezvous extends RendezvousObject {
  constructor(ctx: ObjectState) {
    super(ctx, { limits: { registrationsPerMinute: 10_000 }, logLevel: 'warn' })
  }
}
