/** The worker under test: as users have it, with an origin, and with room for more registrations. */
import { RendezvousObject } from '../../signaling/serve-workerd.ts'
import type { ObjectState } from '../../signaling/workerd/platform.ts'

export { default } from '../../signaling/serve-workerd.ts'

export class TestRendezvous extends RendezvousObject {
  constructor(ctx: ObjectState) {
    super(ctx, {
      origins: ['https://example.org'],
      limits: { registrationsPerMinute: 10_000 },
    })
  }
}
