/** The console over HTTP: how it may be cached, what it may do, and what is not there. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addConsoleRoutes } from '../../signaling/console-routes.ts'
import { readConsole } from '../../signaling/serve-console.ts'

let directory: string
let app: Hono

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'pilot-console-'))
  const source = new URL('../../signaling/console/index.html', import.meta.url)
  writeFileSync(join(directory, 'index.html'), readFileSync(source))
  writeFileSync(join(directory, 'console-ABCD2345.js'), 'export {}')
  writeFileSync(join(directory, 'icon.svg'), '<svg/>')
  app = new Hono()
  addConsoleRoutes(app, readConsole(directory))
})
afterAll(() => rmSync(directory, { recursive: true }))

describe('the console', () => {
  it('is a page that knows its own rendezvous, under a strict policy', async () => {
    const answer = await app.request('/console/')
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(await answer.text()).toContain('<meta name="pilot-rendezvous" content="self">')
    const policy = answer.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toMatch(/unsafe|\*/)
  })

  it('has the same policy in the page itself, for hosts that send no header', async () => {
    const page = await (await app.request('/console/')).text()
    const inPage = /Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1]
    const header = (await app.request('/console/')).headers.get('content-security-policy')
    expect(header).toBe(`${inPage}; frame-ancestors 'none'`)
    expect(page).not.toMatch(/<script(?![^>]*src=)|style=| on[a-z]+=|https?:\/\//)
  })

  it('is asked for again each time, and answered with 304 while it is the same', async () => {
    const first = await app.request('/console/')
    expect(first.headers.get('cache-control')).toBe('no-cache')
    const etag = first.headers.get('etag') ?? ''
    expect(etag).toMatch(/^W\/"[\w-]{22}"$/)
    const headers = { 'if-none-match': `"other", ${etag}` }
    const again = await app.request('/console/', { headers })
    expect(again.status).toBe(304)
    expect(await again.text()).toBe('')
    expect(again.headers.get('etag')).toBe(etag)
    const other = await app.request('/console/', { headers: { 'if-none-match': '"other"' } })
    expect(other.status).toBe(200)
  })

  it('is packed for who takes that', async () => {
    const get = (coding: string): Response | Promise<Response> =>
      app.request('/console/', { headers: { 'accept-encoding': coding } })
    for (const coding of ['gzip', 'br, gzip;q=0.8', '*']) {
      const answer = await get(coding)
      expect(answer.headers.get('content-encoding')).toBe('gzip')
      expect(answer.headers.get('vary')).toBe('Accept-Encoding')
      const text = gunzipSync(new Uint8Array(await answer.arrayBuffer())).toString()
      expect(text).toContain('<div id="app">')
    }
    for (const coding of ['', 'br', 'gzip;q=0', 'identity'])
      expect((await get(coding)).headers.get('content-encoding'), coding).toBeNull()
  })

  it('keeps hashed files for good, and others not', async () => {
    const script = await app.request('/console/console-ABCD2345.js')
    expect(script.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    expect(script.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
    const icon = await app.request('/console/icon.svg')
    expect(icon.headers.get('cache-control')).toBe('no-cache')
  })

  it('leads from /console to /console/', async () => {
    const answer = await app.request('/console')
    expect(answer.status).toBe(302)
    expect(answer.headers.get('location')).toBe('./console/')
  })

  it.each([
    '/console/nothing.js',
    '/console/../package.json',
    '/console/%2e%2e%2fpackage.json',
    '/console/__proto__',
  ])('has nothing but its files: %s', async (path) => {
    expect((await app.request(path)).status).toBe(404)
  })

  it('says how to get it where it was not built', async () => {
    const bare = new Hono()
    addConsoleRoutes(bare, readConsole(join(directory, 'missing')))
    const answer = await bare.request('/console/')
    expect(answer.status).toBe(404)
    expect(await answer.text()).toContain('npm run build:console')
  })
})
