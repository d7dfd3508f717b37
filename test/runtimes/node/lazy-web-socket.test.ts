import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { lazyWebSockets } from '../../../runtimes/node/lazy-web-socket.ts'
import type { WebSocketLike } from '../../../runtimes/shared/web-socket.ts'

let server: WebSocketServer
let url: string

beforeEach(async () => {
  server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/x`
  server.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
})
afterEach(() => {
  for (const one of server.clients) one.terminate()
  server.close()
})

function ended(socket: WebSocketLike): Promise<{ readonly code: number }> {
  return new Promise((resolve) => {
    socket.onclose = resolve
  })
}

async function echoed(socket: WebSocketLike): Promise<unknown> {
  socket.binaryType = 'arraybuffer'
  return await new Promise((resolve) => {
    socket.onopen = () => socket.send(Uint8Array.of(1, 2, 3))
    socket.onmessage = ({ data }) => resolve(data)
  })
}

describe('lazyWebSockets', () => {
  it('opens the first as the later ones', async () => {
    const open = lazyWebSockets({})
    for (let i = 0; i < 2; i++) {
      const socket = open(url, 'p')
      expect(await echoed(socket)).toEqual(Uint8Array.of(1, 2, 3).buffer)
      const end = ended(socket)
      socket.close(1000)
      expect((await end).code).toBe(1000)
    }
  })

  it('ends one that was closed before it was there', async () => {
    const socket = lazyWebSockets({})(url, 'p')
    const end = ended(socket)
    socket.onopen = () => expect.unreachable()
    socket.close()
    expect((await end).code).toBe(1006)
  })

  it('throws for what is no URL, and tells of a server that is not there', async () => {
    const open = lazyWebSockets({})
    expect(() => open('no url', 'p')).toThrow()
    const gone = createServer()
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve))
    const { port } = gone.address() as AddressInfo
    await new Promise((resolve) => gone.close(resolve))
    const socket = open(`ws://127.0.0.1:${port}`, 'p')
    let error: unknown
    socket.onerror = (event) => {
      error = event
    }
    expect(() => socket.send('x')).toThrow()
    expect((await ended(socket)).code).toBe(1006)
    expect(error).toBeDefined()
  })
})
