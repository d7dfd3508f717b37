/** The door for WebSockets of peers, as a stranger sees it: what it answers to, and to whom it does not open. */
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { PathListener, type WebSocketPathOptions } from '../../../runtimes/node/path-listener.ts'
import type { WebSocketLike } from '../../../runtimes/shared/web-socket.ts'
import { selfSignedCertificate } from '../../../signaling/serve-certificate.ts'

const PROTOCOL = 'pilot.path.v1'

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})

async function listen(
  options: WebSocketPathOptions = {},
): Promise<{ door: PathListener; port: number; sockets: WebSocketLike[] }> {
  const door = await PathListener.listen({ listen: '127.0.0.1:0', ...options })
  open.push(door)
  const sockets: WebSocketLike[] = []
  door.onsocket = (socket) => {
    socket.onerror = () => {}
    sockets.push(socket)
  }
  const own = door.urls.find((url) => url.includes('127.0.0.1') || url.includes('localhost'))
  return { door, port: Number(new URL(own!).port), sockets }
}

/** Status of a plain request, or of the answer to an upgrade. */
async function status(
  port: number,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; upgrade: string | undefined }> {
  const sent = request({
    host: '127.0.0.1',
    port,
    path,
    headers: { host: `127.0.0.1:${port}`, ...headers },
  }).end()
  return new Promise((resolve, reject) => {
    sent.on('response', (response) => {
      response.resume()
      resolve({ status: response.statusCode ?? 0, upgrade: response.headers.upgrade })
    })
    sent.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve({ status: response.statusCode ?? 0, upgrade: response.headers.upgrade })
    })
    sent.on('error', reject)
  })
}

const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
  'sec-websocket-protocol': PROTOCOL,
}

describe('the door for WebSockets of peers', () => {
  it('opens to a WebSocket of the right path and subprotocol, without compression', async () => {
    const { port, sockets } = await listen()
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/path`, PROTOCOL)
    await once(socket, 'open')
    expect([socket.protocol, socket.extensions]).toEqual([PROTOCOL, ''])
    expect(sockets).toHaveLength(1)
    socket.terminate()
  })

  it('answers 426 to plain HTTP, and 404 everywhere else: nothing of the daemon is there', async () => {
    const { port } = await listen()
    expect(await status(port, '/v1/path')).toEqual({ status: 426, upgrade: 'websocket' })
    for (const path of [
      '/',
      '/v1',
      '/v1/compat',
      '/v1/registry',
      '/v1/path/',
      '/status',
      '/metrics',
      '/pilot.sock',
    ]) {
      expect((await status(port, path)).status).toBe(404)
      expect((await status(port, path, UPGRADE)).status).toBe(404)
    }
  })

  it('is not to be had under a name that somebody made point here', async () => {
    const { port } = await listen({ urls: ['wss://agent.example/pilot'] })
    const at = (host: string): Promise<{ status: number }> =>
      status(port, '/v1/path', { ...UPGRADE, host })
    expect((await at('evil.example')).status).toBe(403)
    expect((await at(`evil.example:${port}`)).status).toBe(403)
    expect((await at('127.0.0.1.evil.example')).status).toBe(403)
    expect((await at('a b')).status).toBe(403)
    expect((await at(`127.0.0.1:${port}`)).status).toBe(101)
    expect((await at('localhost')).status).toBe(101)
    expect((await at('[::1]:80')).status).toBe(101)
    expect((await at('agent.example')).status).toBe(101)
    expect(
      (await status(port, '/pilot/v1/path', { ...UPGRADE, host: 'agent.example' })).status,
    ).toBe(101)
  })

  it('takes pages of any origin, or of those that were named', async () => {
    const any = await listen()
    const origin = 'https://anywhere.example'
    expect((await status(any.port, '/v1/path', { ...UPGRADE, origin })).status).toBe(101)
    const some = await listen({ origins: ['https://app.example'] })
    expect((await status(some.port, '/v1/path', { ...UPGRADE, origin })).status).toBe(403)
    expect((await status(some.port, '/v1/path', UPGRADE)).status).toBe(403)
    const named = { ...UPGRADE, origin: 'https://app.example' }
    expect((await status(some.port, '/v1/path', named)).status).toBe(101)
  })

  it('wants its own subprotocol', async () => {
    const { port } = await listen()
    const { 'sec-websocket-protocol': _, ...without } = UPGRADE
    expect((await status(port, '/v1/path', without)).status).toBe(400)
    const other = { ...UPGRADE, 'sec-websocket-protocol': 'pilot.v1' }
    expect((await status(port, '/v1/path', other)).status).toBe(400)
  })

  it('limits upgrades of one address', async () => {
    const { port } = await listen()
    const all = await Promise.all(
      Array.from({ length: 80 }, () =>
        status(port, '/v1/path', UPGRADE).catch(() => ({ status: 0 })),
      ),
    )
    expect(all.filter((one) => one.status === 101).length).toBeLessThanOrEqual(55)
    expect(all.filter((one) => one.status === 429).length).toBeGreaterThan(10)
  })

  it('does not wait for those whom it refuses', async () => {
    const { port } = await listen()
    for (const path of ['/elsewhere', '/v1/path']) {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
      // Writing to what the other side has destroyed ends in a reset.
      socket.on('error', () => {})
      const closed = new Promise((resolve) => socket.on('close', resolve))
      const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
      socket.write(`GET ${path} HTTP/1.1\r\nHost: evil.example\r\n${upgrade}\r\n`)
      socket.resume()
      await once(socket, 'end')
      const writing = setInterval(() => socket.write('x'), 10)
      await closed
      clearInterval(writing)
    }
  })

  it('closes a WebSocket that sends more than a frame, and survives what is no HTTP', async () => {
    const { port, sockets } = await listen()
    const junk = connect(port, '127.0.0.1')
    junk.on('error', () => {})
    junk.write(Uint8Array.from({ length: 4000 }, (_, i) => (i * 7) & 255))
    await once(junk, 'close')
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/path`, PROTOCOL)
    await once(socket, 'open')
    socket.send(new Uint8Array(61_441))
    const [code] = (await once(socket, 'close')) as [number]
    expect(code).toBe(1009)
    expect(sockets).toHaveLength(1)
  })

  it('speaks TLS, and is known by the names in the certificate', async () => {
    const tls = selfSignedCertificate(Date.now())
    const { door, port } = await listen({ tls })
    expect(door.urls).toContain(`wss://localhost:${port}/v1/path`)
    expect(door.urls.every((url) => url.startsWith('wss://'))).toBe(true)
    const socket = new WebSocket(`wss://localhost:${port}/v1/path`, PROTOCOL, { ca: tls.cert })
    await once(socket, 'open')
    socket.terminate()
  })

  it('tells public URLs first, then addresses of this machine', async () => {
    const { door, port } = await listen({
      listen: ':0',
      urls: ['wss://a.example', 'wss://b.example/x/'],
    })
    expect(door.urls.slice(0, 3)).toEqual([
      'wss://a.example/v1/path',
      'wss://b.example/x/v1/path',
      `ws://127.0.0.1:${port}/v1/path`,
    ])
    expect(door.urls.length).toBeLessThanOrEqual(8)
  })

  it.each([
    [{ listen: 'nowhere' }, 'ERR_INVALID_ARGUMENT'],
    [{ urls: ['http://h'] }, 'ERR_INVALID_ARGUMENT'],
    [{ urls: ['wss://user:secret@h'] }, 'ERR_INVALID_ARGUMENT'],
    [{ urls: ['wss://h/?a=b'] }, 'ERR_INVALID_ARGUMENT'],
    [{ origins: ['app.example'] }, 'ERR_INVALID_ARGUMENT'],
    [{ origins: ['https://app.example/path'] }, 'ERR_INVALID_ARGUMENT'],
    [{ tls: { cert: 'x', key: 'y' } }, 'ERR_INVALID_ARGUMENT'],
  ])('refuses %j', async (options, code) => {
    await expect(PathListener.listen({ listen: '127.0.0.1:0', ...options })).rejects.toMatchObject({
      code,
    })
  })

  it('says when its address is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    await expect(PathListener.listen({ listen: `127.0.0.1:${port}` })).rejects.toMatchObject({
      code: 'ERR_ADDRESS_IN_USE',
    })
    other.close()
  })
})
