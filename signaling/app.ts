/** HTTP routes of the rendezvous server (spec/04 §17), no logic. */
import { type Context, Hono } from 'hono'
import { badgeSvg } from './badge.ts'
import { addConsoleRoutes, type ConsoleFiles } from './console-routes.ts'
import type { RegistryStats } from './statistics.ts'
import { STATUS_CSS, STATUS_JS, statusPage } from './status-page.ts'

export interface RendezvousView {
  stats(): RegistryStats
  /** Prometheus text. */
  metrics(): string
  /** False while what is answered cannot be made durable. */
  isHealthy(): boolean
}

export interface AppOptions {
  readonly view: RendezvousView
  /** IP of the TCP peer, `undefined` when unknown. */
  readonly peerAddress: (context: Context) => string | undefined
  /** `undefined`: the console was not built. */
  readonly consoleFiles?: ConsoleFiles | undefined
  /** What this server cannot do, for the status page. */
  readonly limitations?: readonly string[]
}

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

export function createApp({ view, peerAddress, consoleFiles, limitations }: AppOptions): Hono {
  const app = new Hono()
  app.use(async (context, next) => {
    await next()
    context.header('X-Content-Type-Options', 'nosniff')
    context.header('Referrer-Policy', 'no-referrer')
  })

  app.get('/', (context) => {
    context.header('Content-Security-Policy', POLICY)
    context.header('Cache-Control', 'no-cache')
    return context.html(statusPage(view.stats(), consoleFiles !== undefined, limitations))
  })
  app.get('/status.css', (context) =>
    context.body(STATUS_CSS, 200, { 'Content-Type': 'text/css; charset=utf-8' }),
  )
  app.get('/status.js', (context) =>
    context.body(STATUS_JS, 200, { 'Content-Type': 'text/javascript; charset=utf-8' }),
  )

  addConsoleRoutes(app, consoleFiles)

  // What clients of a WebSocket beacon ask (spec/09): it lives. Whether it is well, says the next.
  app.get('/health', (context) => {
    context.header('Access-Control-Allow-Origin', '*')
    return context.text('ok')
  })
  app.get('/healthz', (context) =>
    view.isHealthy() ? context.text('ok') : context.text('unhealthy', 503),
  )
  app.get('/api/stats', (context) => {
    context.header('Access-Control-Allow-Origin', '*')
    context.header('Cache-Control', 'no-cache')
    return context.json(view.stats())
  })
  app.get('/api/badge/:name', (context) => {
    const svg = badgeSvg(context.req.param('name'), view.stats())
    if (svg === undefined) return context.notFound()
    return context.body(svg, 200, {
      'Content-Type': 'image/svg+xml; charset=utf-8',
      'Cache-Control': 'no-cache, no-store, must-revalidate',
      'Access-Control-Allow-Origin': '*',
    })
  })
  app.get('/metrics', (context) => {
    if (!isLocalClient(context, peerAddress(context))) return context.text('Forbidden', 403)
    return context.body(view.metrics(), 200, {
      'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
    })
  })
  return app
}

/**
 * The client is the TCP peer. Headers that name another are believed only from a proxy on this machine,
 * where they can but narrow (spec/04 §22 W24).
 */
function isLocalClient(context: Context, peer: string | undefined): boolean {
  const claims = ['x-real-ip', 'x-forwarded-for', 'forwarded'].map((name) =>
    context.req.header(name),
  )
  return isLoopback(peer) && claims.every((claim) => claim === undefined || isLoopback(claim))
}

function isLoopback(address: string | undefined): boolean {
  return address === '127.0.0.1' || address === '::1' || address === '::ffff:127.0.0.1'
}
