/** Composition root of a beacon without a registry beside it: its socket, its peers, and whether it is well. */
import { createServer } from 'node:http'
import type { Endpoint } from '../core/machine.ts'
import { Beacon } from './beacon.ts'
import { type Log, SILENT_LOG } from './log.ts'
import { type ListenAddress, parseListenAddress } from './serve-address.ts'
import { BeaconServer } from './serve-beacon.ts'
import { BeaconLink } from './serve-beacon-link.ts'
import { now } from './serve-clock.ts'
import { listen } from './serve-listen.ts'

export interface BeaconAloneOptions {
  /** `host:port` or `:port`, UDP. */
  readonly address: string
  /** In gossip; 0 stands alone. Default 0. */
  readonly beaconId?: number
  /** Other beacons, by the exact endpoint they send from. */
  readonly peers?: readonly Endpoint[]
  /** Where the others are asked for; needs an id. */
  readonly registry?: { readonly host: string; readonly port: number }
  /** `host:port` of `GET /healthz`. Default none. */
  readonly healthAddress?: string
  /** How often the registry is asked. Default 30 000. */
  readonly announceMs?: number
  readonly log?: Log
}

export interface BeaconAlone extends AsyncDisposable {
  readonly endpoint: Endpoint
  readonly healthEndpoint: Endpoint | undefined
  readonly beacon: Beacon
  close(): Promise<void>
}

/** @throws {PilotError} `ERR_ADDRESS_IN_USE`, `ERR_INVALID_ARGUMENT`. */
export async function createBeacon(options: BeaconAloneOptions): Promise<BeaconAlone> {
  const { beaconId = 0, peers = [], registry, log = SILENT_LOG } = options
  const address = parseListenAddress(options.address)
  const health =
    options.healthAddress === undefined ? undefined : parseListenAddress(options.healthAddress)
  const beacon = new Beacon({ beaconId, peers }, now().at)
  const counters = { connections: 0, connectionsRefused: 0, framesRefused: 0, datagramsUnsent: 0 }
  const server = new BeaconServer({ beacon, counters, log })
  const endpoint = await server.listen(address)
  const opened: (() => Promise<void> | void)[] = [() => server.close()]
  const close = async (): Promise<void> => {
    for (const end of opened.splice(0).reverse()) await end()
  }
  try {
    let healthEndpoint: Endpoint | undefined
    if (health !== undefined) {
      const http = await serveHealth(health)
      healthEndpoint = http.endpoint
      opened.push(http.close)
    }
    if (registry !== undefined) {
      const onPeers = (found: readonly Endpoint[]): void => beacon.setPeers(found)
      const { announceMs: intervalMs } = options
      const link = new BeaconLink({
        registry,
        beaconId,
        endpoint,
        onPeers,
        log,
        ...(intervalMs === undefined ? {} : { intervalMs }),
      })
      opened.push(() => link.close())
    }
    return { endpoint, healthEndpoint, beacon, close, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

/** A beacon that answers here has its socket: when that is lost the process ends. */
async function serveHealth(
  address: ListenAddress,
): Promise<{ readonly endpoint: Endpoint; readonly close: () => Promise<void> }> {
  const server = createServer((request, response) => {
    const isFound = request.url === '/healthz' && /^(GET|HEAD)$/.test(request.method ?? '')
    response.writeHead(isFound ? 200 : 404, { 'Content-Type': 'text/plain' })
    response.end(isFound && request.method === 'GET' ? 'ok' : '')
  })
  server.requestTimeout = 10_000
  server.maxConnections = 64
  const endpoint = await listen(server, address, 'health check', '-health')
  return {
    endpoint,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
