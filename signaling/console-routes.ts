/** The console as HTTP routes: static files, their types, and how long they may be kept. */
import type { Hono } from 'hono'

export interface ConsoleFile {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** The same, for who takes gzip. */
  readonly gzip: Uint8Array<ArrayBuffer>
  /** In quotes; weak when sent, since both codings have it (RFC 9110 §8.8.3). */
  readonly etag: string
}

/** By name, `index.html` among them. */
export type ConsoleFiles = ReadonlyMap<string, ConsoleFile>

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

/** The page's own policy, and what only a header can say. Sockets may lead to any rendezvous the user names. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** A name with esbuild's hash in it: its content never changes. */
const HASHED = /-[A-Z0-9]{8}\.(js|css)$/
/** Tells the page that the rendezvous it came from is the one to join. */
const OWN_MARK = '<meta name="pilot-rendezvous" content="'

/** Serves the console under `/console/`; without files it is said how to get them. */
export function addConsoleRoutes(app: Hono, files: ConsoleFiles | undefined): void {
  app.get('/console', (context) => context.redirect('./console/'))
  app.get('/console/:name{.*}', (context) => {
    const name = context.req.param('name') || 'index.html'
    const file = files?.get(name)
    if (file === undefined)
      return files === undefined
        ? context.text('the console is not part of this build: npm run build:console', 404)
        : context.notFound()
    context.header('ETag', `W/${file.etag}`)
    context.header('Vary', 'Accept-Encoding')
    context.header(
      'Cache-Control',
      HASHED.test(name) ? 'public, max-age=31536000, immutable' : 'no-cache',
    )
    context.header('Content-Security-Policy', POLICY)
    context.header('Cross-Origin-Resource-Policy', 'same-origin')
    if (matches(context.req.header('if-none-match'), file.etag)) return context.body(null, 304)
    const type = TYPES[name.slice(name.lastIndexOf('.') + 1)] ?? 'application/octet-stream'
    context.header('Content-Type', type)
    if (!takesGzip(context.req.header('accept-encoding'))) return context.body(file.bytes)
    context.header('Content-Encoding', 'gzip')
    return context.body(file.gzip)
  })
}

/** The page as the rendezvous itself serves it. */
export function markAsOwn(page: string): string {
  return page.replace(`${OWN_MARK}"`, `${OWN_MARK}self"`)
}

function takesGzip(header: string | undefined): boolean {
  return (header ?? '')
    .split(',')
    .some((one) => /^\s*(gzip|\*)\s*(;\s*q=(1|0\.0*[1-9]).*)?$/.test(one))
}

/** Weak comparison, as RFC 9110 §13.1.2 wants it here. */
function matches(header: string | undefined, etag: string): boolean {
  return (header ?? '').split(',').some((one) => {
    const asked = one.trim().replace(/^W\//, '')
    return asked === etag || asked === '*'
  })
}
