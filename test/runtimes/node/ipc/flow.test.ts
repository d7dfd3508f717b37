/** Our driver on our daemon's socket: connections that stand still, and all others. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ByteQueue } from '../../../../runtimes/node/ipc/byte-queue.ts'
import { DaemonClient } from '../../../../runtimes/node/ipc/client.ts'
import type { DaemonConnection } from '../../../../runtimes/node/ipc/client-connection.ts'
import { decodeDaemonMessage, encodeCredit } from '../../../../runtimes/node/ipc/daemon-message.ts'
import { decodeDriverMessage } from '../../../../runtimes/node/ipc/driver-message.ts'
import { IpcServer } from '../../../../runtimes/node/ipc/server.ts'
import type { PilotConnection } from '../../../../runtimes/shared/api.ts'
import { serveEcho } from '../../../../runtimes/shared/services/echo.ts'
import { FakeNetwork, type FakeNode } from '../fake-node.ts'
import { RawClient } from './raw-client.ts'

const to = (port: number) => ({ address: { network: 0, node: 2 }, port })
const facts = { version: '0', owner: '', hasIdentity: true, beacon: '', transport: 'udp' } as const
const MIB = 2 ** 20

let directory: string
let path: string
let far: FakeNode
let server: IpcServer
let client: DaemonClient
/** Far ends of port 4000, which does nothing by itself. */
let held: PilotConnection[]

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pilot-flow-'))
  path = join(directory, 's')
  const network = new FakeNetwork()
  const node = network.add(1)
  far = network.add(2)
  held = []
  far.listen(4000).onconnection = (connection) => held.push(connection)
  far.listen(7).onconnection = serveEcho
  server = await IpcServer.listen({
    node,
    facts,
    socketPath: path,
    setWebhook: async () => {},
    rotateKey: async () => ({}),
  })
  client = await DaemonClient.connect(path)
})
afterEach(async () => {
  await client.close()
  await server.close()
  rmSync(directory, { recursive: true })
})

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255)
}

async function echoed(connection: DaemonConnection, bytes: number): Promise<void> {
  const sent = pattern(bytes)
  const writing = connection.write(sent)
  const got: Uint8Array[] = []
  for (let length = 0; length < bytes; ) {
    const piece = (await connection.read())!
    got.push(piece)
    length += piece.length
  }
  await writing
  expect(Buffer.compare(Buffer.concat(got), sent)).toBe(0)
}

async function idle(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}

describe('one client', () => {
  it('goes on with other connections and requests while a peer takes nothing', async () => {
    const [stuck, quick] = [await client.dial(to(4000)), await client.dial(to(7))]
    const bytes = pattern(16 * MIB)
    let isWritten = false
    const writing = stuck.write(bytes).then(() => {
      isWritten = true
    })
    await echoed(quick, 4 * MIB)
    expect((await client.info()).node_id).toBe(1)
    expect(isWritten).toBe(false)
    // When the peer reads at last, every byte is there in order.
    const got: Uint8Array[] = []
    const take = (): void => {
      for (let piece = held[0]!.read(); piece !== undefined; piece = held[0]!.read())
        got.push(piece)
    }
    held[0]!.onreadable = take
    take()
    await writing
    await echoed(quick, 1000)
    await expect.poll(() => got.reduce((sum, one) => sum + one.length, 0)).toBe(bytes.length)
    expect(Buffer.compare(Buffer.concat(got), bytes)).toBe(0)
  })

  it('goes on with other connections while it reads nothing of twenty, and holds little of each', async () => {
    const still = await Promise.all(Array.from({ length: 20 }, () => client.dial(to(4000))))
    const bytes = pattern(4 * MIB)
    const taken = held.map(() => 0)
    held.forEach((connection, i) => {
      const pump = (): void => {
        for (let n = -1; n !== 0 && taken[i]! < bytes.length; taken[i]! += n)
          n = connection.write(bytes.subarray(taken[i]!, taken[i]! + 65_536))
      }
      connection.onwritable = pump
      pump()
    })
    const quick = await client.dial(to(7))
    await echoed(quick, 2 * MIB)
    expect((await client.info()).node_id).toBe(1)
    await idle(50)
    // A window at the client, what was on its way when credits began, and the peer's own buffer.
    for (const one of taken) expect(one).toBeLessThan(3 * MIB)
    for (const connection of still) {
      const got: Uint8Array[] = []
      for (let length = 0; length < bytes.length; length += got.at(-1)!.length)
        got.push((await connection.read())!)
      expect(Buffer.compare(Buffer.concat(got), bytes)).toBe(0)
    }
  })

  it('may use its buffer again after write', async () => {
    const connection = await client.dial(to(7))
    const block = new Uint8Array(100_000)
    const writing = (async () => {
      for (let i = 0; i < 30; i++) {
        block.fill(i)
        await connection.write(block)
      }
      block.fill(255)
    })()
    for (let at = 0; at < 30 * block.length; ) {
      for (const byte of (await connection.read())!)
        if (byte !== Math.floor(at++ / block.length)) throw new Error(`byte ${at} is ${byte}`)
    }
    await writing
  })

  it('fails a write that waits for credit when the daemon goes away', async () => {
    const connection = await client.dial(to(4000))
    const failed = expect(connection.write(new Uint8Array(8 * MIB))).rejects.toMatchObject({
      code: 'ERR_DAEMON_UNAVAILABLE',
    })
    await idle(30)
    await server.close()
    await failed
  })
})

describe('credit', () => {
  it('is given and taken as the sheet says, and cannot be forged upward', async () => {
    const raw = new RawClient(path)
    raw.write({ type: 'dial', to: to(4000) })
    const { id } = await raw.nextOf('dial-ok')
    raw.write({ type: 'flow' })
    expect(await raw.next()).toEqual({ type: 'empty', opcode: 0x61 })
    expect(await raw.next()).toEqual({ type: 'credit', id, total: 0 })
    let sent = 0
    const pump = (): void => {
      for (let n = -1; n !== 0 && sent < 8 * MIB; sent += n)
        n = held[0]!.write(new Uint8Array(65_536))
    }
    held[0]!.onwritable = pump
    pump()
    const received = (): number =>
      raw.bodies.reduce((sum, body) => sum + (body[0] === 7 ? body.length - 5 : 0), 0)
    await expect.poll(received).toBe(512 * 1024)
    await idle(50)
    expect(received()).toBe(512 * 1024)
    // More than was sent counts as that: one window more, not the rest.
    raw.write({ type: 'credit', id, total: 2 ** 40 }, { type: 'credit', id: 999, total: 5 })
    await expect.poll(received).toBe(1024 * 1024)
    raw.write({ type: 'credit', id, total: 1 })
    await idle(50)
    expect(received()).toBe(1024 * 1024)
    raw.socket.destroy()
  })

  it.each([0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 45 + 12345])('carries %d', (total) => {
    const body = encodeCredit(7, total).subarray(4)
    expect(decodeDaemonMessage(body)).toEqual({ type: 'credit', id: 7, total })
    expect(decodeDriverMessage(body)).toEqual({ type: 'credit', id: 7, total })
    expect(() => decodeDaemonMessage(body.subarray(0, 12))).toThrow('credit')
  })
})

describe('ByteQueue', () => {
  it('gives back what it was given, in any pieces', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(40_000), fc.nat(40_000)), { maxLength: 30 }),
        (steps) => {
          const queue = new ByteQueue()
          let [given, taken] = [0, 0]
          for (const [add, take] of steps) {
            queue.append(Uint8Array.from({ length: add }, (_, i) => (given + i) % 251))
            given += add
            for (let left = take; left > 0 && queue.length > 0; ) {
              const piece = queue.peek()!.subarray(0, left)
              const wanted = Uint8Array.from(piece, (_, i) => (taken + i) % 251)
              expect(Buffer.compare(piece, wanted)).toBe(0)
              queue.drop(piece.length)
              taken += piece.length
              left -= piece.length
            }
            expect(queue.length).toBe(given - taken)
          }
          queue.clear()
          expect(queue.peek()).toBeUndefined()
        },
      ),
      { numRuns: 30 },
    )
  })
})
