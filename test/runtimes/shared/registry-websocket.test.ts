/** The registry's byte stream over a WebSocket (spec/10 §7), on one that does what the test says. */
import { expect, it } from 'vitest'
import { registryWebSocket } from '../../../runtimes/shared/registry-websocket.ts'
import type { WebSocketLike } from '../../../runtimes/shared/web-socket.ts'

class FakeWebSocket implements WebSocketLike {
  binaryType = 'blob'
  readonly bufferedAmount = 0
  onopen: WebSocketLike['onopen'] = null
  onmessage: WebSocketLike['onmessage'] = null
  onclose: WebSocketLike['onclose'] = null
  onerror: WebSocketLike['onerror'] = null
  readonly sent: Uint8Array[] = []
  isClosed = false
  send(data: string | Uint8Array): void {
    this.sent.push(data as Uint8Array)
  }
  close(): void {
    this.isClosed = true
  }
}

function connect() {
  const socket = new FakeWebSocket()
  const seen: string[] = []
  const offers: string[] = []
  const connector = registryWebSocket({
    url: 'wss://h/v1/registry',
    openWebSocket: (url, protocol) => {
      offers.push(`${url} ${protocol}`)
      return socket
    },
  })
  const stream = connector.connect({
    onconnect: () => seen.push('connected'),
    ondata: (bytes) => seen.push(`data ${bytes.join(' ')}`),
    onclose: (reason) => seen.push(`closed: ${reason}`),
  })
  return { socket, seen, offers, stream, endpoint: connector.endpoint }
}

it('hands bytes through in both directions, cut where messages would be too large', () => {
  const { socket, seen, offers, stream, endpoint } = connect()
  expect(offers).toEqual(['wss://h/v1/registry pilot.registry.v1'])
  expect(endpoint).toBe('wss://h/v1/registry')
  expect(socket.binaryType).toBe('arraybuffer')
  stream.write(Uint8Array.of(1)) // before it is open: a caller that does not wait loses it
  socket.onopen?.()
  const large = Uint8Array.from({ length: 150_000 }, (_, i) => i & 255)
  stream.write(large)
  expect(socket.sent.map(({ length }) => length)).toEqual([65_536, 65_536, 18_928])
  expect(Buffer.concat(socket.sent).equals(large)).toBe(true)
  socket.onmessage?.({ data: Uint8Array.of(7, 8).buffer })
  socket.onmessage?.({ data: 'text means nothing here' })
  expect(seen).toEqual(['connected', 'data 7 8'])
})

it.each([
  [{ code: 1001, reason: 'going away' }, undefined, 'closed: going away'],
  [
    { code: 1006, reason: '' },
    { message: 'nothing listens there' },
    'closed: nothing listens there',
  ],
  [{ code: 1006, reason: '' }, { error: { message: 'refused' } }, 'closed: refused'],
  [{ code: 1006, reason: '' }, {}, 'closed: the registry closed with code 1006'],
])('says once why it ended: %j %j', (event, problem, text) => {
  const { socket, seen } = connect()
  if (problem !== undefined) socket.onerror?.(problem)
  socket.onclose?.(event)
  socket.onclose?.(event)
  expect(seen).toEqual([text])
})

it('calls nobody after it was closed, whatever comes', () => {
  const { socket, seen, stream } = connect()
  stream.close()
  expect(socket.isClosed).toBe(true)
  socket.onopen?.()
  socket.onmessage?.({ data: new ArrayBuffer(1) })
  socket.onclose?.({ code: 1000, reason: '' })
  stream.write(Uint8Array.of(1))
  expect(seen).toEqual([])
  expect(socket.sent).toEqual([])
})

it('tells after it has returned that the runtime refuses the URL', async () => {
  const reasons: string[] = []
  const connector = registryWebSocket({
    url: 'wss://h',
    openWebSocket: () => {
      throw new Error('not from this page')
    },
  })
  const handlers = {
    onconnect: () => {},
    ondata: () => {},
    onclose: (reason: string) => reasons.push(reason),
  }
  connector.connect(handlers)
  connector.connect(handlers).close()
  expect(reasons).toEqual([])
  await Promise.resolve()
  expect(reasons).toEqual(['not from this page'])
})
