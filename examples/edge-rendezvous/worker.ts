/** A rendezvous of one's own in Cloudflare Workers: registry, relay and status page, asleep while nobody speaks. */
export { default, PilotRendezvous } from 'pilot-ts/signaling/workerd'
