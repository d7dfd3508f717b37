import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DaemonClient } from '../../../../runtimes/node/ipc/client.ts'
import {
  encodeAccept,
  encodeBindOk,
  encodeCloseOk,
  encodeDialOk,
  encodeError,
  encodeJsonReply,
  encodeRecv,
} from '../../../../runtimes/node/ipc/daemon-message.ts'
import {
  type DriverMessage,
  decodeDriverMessage,
} from '../../../../runtimes/node/ipc/driver-message.ts'
import { OP } from '../../../../runtimes/node/ipc/opcode.ts'
import { hex } from '../../../support.ts'

const to = { address: { network: 0, node: 2 }, port: 7 }

let directory: string
let server: Server
let socket: Socket
let client: DaemonClient
/** Requests as the scripted daemon got them. */
let requests: DriverMessage[]
let onRequest: (message: DriverMessage) => void

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pilot-client-'))
  requests = []
  onRequest = () => {}
  const connected = new Promise<Socket>((resolve) => {
    server = createServer((one) => {
      let buffer = Buffer.alloc(0)
      one.on('error', () => {})
      one.on('data', (chunk) => {
        buffer = Buffer.concat([buffer, chunk])
        while (buffer.length >= 4 && buffer.length >= 4 + buffer.readUInt32BE(0)) {
          const end = 4 + buffer.readUInt32BE(0)
          const message = decodeDriverMessage(buffer.subarray(4, end))
          buffer = buffer.subarray(end)
          if (message.type === 'flow') one.write(encodeError('unknown command: 0x60'))
          else requests.push(message)
          onRequest(message)
        }
      })
      resolve(one)
    })
  })
  const path = join(directory, 's')
  await new Promise<void>((resolve) => server.listen(path, resolve))
  client = await DaemonClient.connect(path)
  socket = await connected
})
afterEach(async () => {
  socket.destroy()
  await client.close()
  server.close()
  rmSync(directory, { recursive: true })
})

const until = async (isTrue: () => boolean): Promise<void> => {
  for (let i = 0; i < 200 && !isTrue(); i++) await new Promise((resolve) => setTimeout(resolve, 10))
  expect(isTrue()).toBe(true)
}

describe('DaemonClient', () => {
  it('says that no daemon answers', async () => {
    await expect(DaemonClient.connect(join(directory, 'none'))).rejects.toMatchObject({
      code: 'ERR_DAEMON_UNAVAILABLE',
    })
  })

  it('has one request outstanding at a time, each with its own reply', async () => {
    const info = client.info()
    const health = client.requestJson({ type: 'health' })
    const refused = client.requestJson({ type: 'set-hostname', hostname: 'x' })
    await until(() => requests.length === 1)
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(requests).toEqual([{ type: 'info' }])
    socket.write(encodeJsonReply(OP.infoOk, { node_id: 1 }))
    expect(await info).toEqual({ node_id: 1 })
    await until(() => requests.length === 2)
    socket.write(encodeJsonReply(OP.healthOk, { status: 'ok' }))
    expect(await health).toEqual({ status: 'ok' })
    await until(() => requests.length === 3)
    socket.write(encodeError('set_hostname: registry: request failed'))
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_DAEMON_REFUSED',
      message: 'set_hostname: registry: request failed',
    })
  })

  it('does not take stray errors of base daemons for a reply', async () => {
    const info = client.info()
    await until(() => requests.length === 1)
    socket.write(encodeError('connection 9 not found'))
    socket.write(encodeError('send: connection not established'))
    socket.write(encodeJsonReply(OP.infoOk, { node_id: 1 }))
    expect(await info).toEqual({ node_id: 1 })
  })

  it.each([['0e7b6f6f7073'], ['0e5b315d'], ['0e6e756c6c']])(
    'refuses the reply %s that is no object',
    async (body) => {
      const info = client.info()
      const bytes = hex(body)
      const frame = new Uint8Array(4 + bytes.length)
      frame[3] = bytes.length
      frame.set(bytes, 4)
      socket.write(frame)
      await expect(info).rejects.toMatchObject({ code: 'ERR_DAEMON_REFUSED' })
    },
  )

  it('reads what came with the dial reply, then the end', async () => {
    onRequest = (message) => {
      if (message.type !== 'dial') return
      // In one write: the first bytes and the end are there before anybody asks.
      socket.write(
        Buffer.concat([
          encodeDialOk(5),
          encodeRecv(5, [hex('0102'), hex('03')], 3),
          encodeRecv(77, [hex('ff')], 1),
          encodeCloseOk(5),
        ]),
      )
    }
    const connection = await client.dial(to)
    expect(Uint8Array.from((await connection.read())!)).toEqual(hex('010203'))
    expect(await connection.read()).toBeUndefined()
    expect(connection.ended).toBe(true)
    await expect(connection.write(hex('01'))).rejects.toMatchObject({
      code: 'ERR_CONNECTION_CLOSED',
    })
  })

  it('closes what an aborted dial opened later, and goes on with the next request', async () => {
    const abort = new AbortController()
    const dial = client.dial(to, { signal: abort.signal })
    await until(() => requests.length === 1)
    abort.abort()
    await expect(dial).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    const info = client.info()
    socket.write(encodeDialOk(6))
    await until(() => requests.length === 3)
    expect(
      requests
        .slice(1)
        .map(({ type }) => type)
        .sort(),
    ).toEqual(['close', 'info'])
    socket.write(encodeJsonReply(OP.infoOk, {}))
    expect(await info).toEqual({})
  })

  it('splits large writes and waits for a daemon that does not read', async () => {
    onRequest = (message) => {
      if (message.type === 'dial') socket.write(encodeDialOk(1))
    }
    const connection = await client.dial(to)
    socket.pause()
    let isWritten = false
    const writing = connection.write(new Uint8Array(8 * 2 ** 20)).then(() => {
      isWritten = true
    })
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(isWritten).toBe(false)
    socket.resume()
    await writing
    await until(() => requests.filter(({ type }) => type === 'send').length === 16)
    for (const message of requests)
      if (message.type === 'send') expect(message.data.length).toBe(512 * 1024)
  })

  it('stops reading the socket while nobody reads the connections', async () => {
    onRequest = (message) => {
      if (message.type === 'dial') socket.write(encodeDialOk(1))
    }
    const connection = await client.dial(to)
    const frame = encodeRecv(1, [new Uint8Array(65_535)], 65_535)
    let sent = 0
    while (sent < 400 && socket.writableLength < 2 ** 21) {
      socket.write(frame)
      sent++
      if (sent % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(sent).toBeLessThan(400) // 25 MB would fit if the client took everything
    let got = 0
    while (got < sent * 65_535) got += (await connection.read())!.length
    expect(got).toBe(sent * 65_535)
  })

  it('accepts what was pushed for a port, and refuses what comes for another', async () => {
    onRequest = (message) => {
      if (message.type === 'bind')
        socket.write(
          Buffer.concat([
            encodeBindOk(5000),
            encodeAccept(5000, 9, to),
            encodeAccept(5001, 10, to),
          ]),
        )
    }
    const listener = await client.listen(5000)
    const connection = await listener.accept()
    expect(connection).toMatchObject({ id: 9, remote: to, localPort: 5000 })
    await until(() => requests.length === 2)
    expect(requests[1]).toEqual({ type: 'close', id: 10 })
    listener.close()
    expect(await listener.accept()).toBeUndefined()
    await until(() => requests.length === 3)
    expect(requests[2]).toMatchObject({ type: 'unbind', port: 5000 })
  })

  it('fails everything that waits when the daemon goes away', async () => {
    onRequest = (message) => {
      if (message.type === 'dial') socket.write(encodeDialOk(1))
    }
    const connection = await client.dial(to)
    const [read, info] = [connection.read(), client.info()]
    const checks = Promise.all(
      [read, info].map((one) =>
        expect(one).rejects.toMatchObject({ code: 'ERR_DAEMON_UNAVAILABLE' }),
      ),
    )
    socket.destroy()
    await checks
    await expect(client.info()).rejects.toMatchObject({ code: 'ERR_DAEMON_UNAVAILABLE' })
    await expect(connection.write(hex('01'))).rejects.toMatchObject({
      code: 'ERR_DAEMON_UNAVAILABLE',
    })
  })
})
