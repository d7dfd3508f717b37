/** A rendezvous on loopback that lasts as long as the tests of a file. */
import { createRendezvous, type Rendezvous } from '../../signaling/index.ts'

export interface Site extends AsyncDisposable {
  /** The arguments that the lines of the README take. */
  readonly endpoints: readonly [registry: string, beacon: string]
  /** `ws://host:port`, for pages. */
  readonly url: string
}

export async function startSite(): Promise<Site> {
  const rendezvous: Rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    limits: { registrationsPerMinute: 1000 },
  })
  const { registryEndpoint, beaconEndpoint, httpUrl = '' } = rendezvous
  return {
    endpoints: [`127.0.0.1:${registryEndpoint.port}`, `127.0.0.1:${beaconEndpoint.port}`],
    url: httpUrl.replace(/^http/, 'ws'),
    [Symbol.asyncDispose]: () => rendezvous.close(),
  }
}
