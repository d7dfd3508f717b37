import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IpcServer } from '../../../../runtimes/node/ipc/server.ts'
import { generated, hex, vectors } from '../../../support.ts'
import { FakeNetwork, type FakeNode } from '../fake-node.ts'
import { RawClient } from './raw-client.ts'

const facts = {
  version: '0',
  owner: 'alice@example.com',
  hasIdentity: true,
  beacon: '',
  transport: 'udp',
} as const
const to = (node: number, port: number) => ({ address: { network: 0, node }, port })

let directory: string
let path: string
let near: FakeNode
let far: FakeNode
let server: IpcServer
let clients: RawClient[]

const client = (): RawClient => {
  const one = new RawClient(path)
  clients.push(one)
  return one
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pilot-ipc-'))
  path = join(directory, 's')
  const network = new FakeNetwork()
  near = network.add(1)
  far = network.add(2, 'bob')
  clients = []
  server = await IpcServer.listen({
    node: near,
    facts,
    socketPath: path,
    stallMs: 300,
    setWebhook: async () => {},
    rotateKey: async () => ({ type: 'rotate_key_ok', node_id: 1 }),
  })
})

afterEach(async () => {
  for (const one of clients) one.socket.destroy()
  await server.close()
  rmSync(directory, { recursive: true })
})

/** Far side of port 4000: every connection, all bytes echoed when asked. */
function farListener(port: number): import('../../../../runtimes/shared/api.ts').PilotConnection[] {
  const accepted: import('../../../../runtimes/shared/api.ts').PilotConnection[] = []
  far.listen(port).onconnection = (connection) => accepted.push(connection)
  return accepted
}

describe('requests', () => {
  it('answers in request order while work runs concurrently (R1 to R3)', async () => {
    farListener(4000)
    near.dialDelays.set(4000, 200)
    const raw = client()
    raw.write(
      { type: 'dial', to: to(2, 4000) },
      { type: 'info' },
      { type: 'dial', to: to(2, 9) },
      { type: 'close', id: 77 },
    )
    // Close takes no part in the queue.
    expect(await raw.next()).toEqual({ type: 'close-ok', id: 77 })
    expect((await raw.next()).type).toBe('dial-ok')
    expect((await raw.next()).type).toBe('json')
    expect(await raw.next()).toEqual({ type: 'error', text: 'connection refused' })
  })

  it('never answers Send or SendTo with an Error, whatever is wrong (R4)', async () => {
    const raw = client()
    raw.socket.write(hex('0000000406000001')) // short Send
    raw.socket.write(hex('000000080b00000000000201')) // short SendTo
    raw.write(
      { type: 'send-to', to: to(0xffffffff, 6000), data: hex('01') },
      { type: 'send-to', to: to(2, 6000), data: new Uint8Array(0) },
      { type: 'send-to', to: to(999, 6000), data: hex('01') },
      { type: 'send', id: 12345, data: hex('01') },
      { type: 'info' },
    )
    expect(await raw.next()).toEqual({ type: 'close-ok', id: 12345 })
    expect((await raw.next()).type).toBe('json')
  })

  it('gives Info every number that base clients need, and stays below the frame limit', async () => {
    near.fakeConnections = 5000
    const raw = client()
    raw.write({ type: 'info' })
    await raw.until(() => raw.bodies.length > 0)
    expect(raw.bodies[0]!.length).toBeLessThan(2 ** 20)
    const message = await raw.next()
    const info = message.type === 'json' ? JSON.parse(message.text) : {}
    for (const key of 'node_id uptime_secs bytes_sent bytes_recv pkts_sent pkts_recv connections ports peers pid'.split(
      ' ',
    ))
      expect(info[key], key).toBeTypeOf('number')
    expect(info.conn_list_truncated).toBe(true)
    expect(info.conn_list.length).toBeGreaterThan(500)
    for (const key of 'id local_port remote_port cong_win in_flight srtt_ms unacked ooo_buf peer_recv_win recv_win bytes_sent bytes_recv segs_sent segs_recv retransmits fast_retx sack_recv sack_sent dup_acks'.split(
      ' ',
    ))
      expect(info.conn_list[0][key], key).toBeTypeOf('number')
  })

  it('tells RotateKey of the newest line from SetPeerEndpoints of v1.9, which has the same number', async () => {
    const raw = client()
    raw.write({ type: 'rotate-key' })
    expect(JSON.parse((await raw.nextOf('json')).text)).toEqual({
      type: 'rotate_key_ok',
      node_id: 1,
    })
    let compared = 0
    for (const one of vectors('ipc-v19', 'exchange')) {
      if (!/^SET_PEER_ENDPOINTS/.test(one.name)) continue
      // The vectors' own node is 1, as ours is. No endpoint of these kinds is ever installed here.
      raw.socket.write(hex(one.request_hex))
      const message = await raw.next()
      const [{ text, json }] = one.replies
      if (message.type === 'json')
        expect(JSON.parse(message.text), one.name).toEqual({
          ...JSON.parse(json),
          installed_tcp: 0,
          installed_turn: 0,
        })
      else expect(message, one.name).toEqual({ type: 'error', text })
      compared++
    }
    expect(compared).toBe(8)
  })

  it('cancels pending dials on Cancel', async () => {
    near.dialDelays.set(4000, 60_000)
    const raw = client()
    raw.write({ type: 'dial', to: to(2, 4000) }, { type: 'cancel' })
    expect(await raw.next()).toEqual({ type: 'error', text: 'dial cancelled' })
  })

  it('closes the client at a frame over the limit, without an Error', async () => {
    const raw = client()
    raw.socket.write(hex('001000010d'))
    await raw.closed()
    expect(raw.bodies).toEqual([])
  })
})

describe('streams', () => {
  it('announces an accepted stream after BindOK, then its data, then its end', async () => {
    const raw = client()
    raw.write({ type: 'bind', port: 5000 })
    await raw.nextOf('bind-ok')
    const bound = performance.now()
    const connection = await far.dial(to(1, 5000))
    connection.write(hex('68656c6c6f'))
    connection.close()
    const accept = await raw.next()
    expect(accept).toMatchObject({ type: 'accept', localPort: 5000, remote: to(2, 49152) })
    expect(performance.now() - bound).toBeGreaterThan(10) // G1
    const accepted = performance.now()
    expect(await raw.next()).toMatchObject({ type: 'recv', data: hex('68656c6c6f') })
    const end = await raw.next()
    expect(end.type).toBe('close-ok')
    expect(performance.now() - accepted).toBeGreaterThan(80) // G2
    if (end.type !== 'close-ok') return
    raw.write({ type: 'close', id: end.id }, { type: 'health' })
    expect(await raw.next()).toEqual({ type: 'close-ok', id: end.id })
    expect((await raw.next()).type).toBe('json')
  })

  it('carries many megabytes both ways in order, in frames of at most 64 KiB of data', async () => {
    const accepted = farListener(4000)
    const raw = client()
    raw.write({ type: 'dial', to: to(2, 4000) })
    const { id } = await raw.nextOf('dial-ok')
    const peer = accepted[0]!
    const data = generated(3_000_000)
    raw.write({ type: 'send', id, data }) // one frame, as base pilotctl writes it
    const got: Uint8Array[] = []
    let bytes = 0
    await new Promise<void>((resolve) => {
      peer.onreadable = () => {
        for (let chunk = peer.read(); chunk !== undefined; chunk = peer.read()) {
          got.push(chunk)
          bytes += chunk.length
        }
        if (bytes === data.length) resolve()
      }
      peer.onreadable()
    })
    expect(Buffer.concat(got).equals(data)).toBe(true)

    let at = 0
    peer.onwritable = () => {
      while (at < data.length) {
        const piece = data.subarray(at, at + 1152)
        const taken = peer.write(piece)
        at += taken
        if (taken < piece.length) return
      }
      peer.close()
    }
    peer.onwritable()
    const back: Uint8Array[] = []
    let frames = 0
    for (let message = await raw.next(); message.type !== 'close-ok'; message = await raw.next()) {
      if (message.type !== 'recv') continue
      expect(message.data.length).toBeLessThanOrEqual(65535)
      back.push(message.data)
      frames++
    }
    expect(Buffer.concat(back).equals(data)).toBe(true)
    expect(frames).toBeLessThan(500) // merged: as segments it would be 2600
  })

  it('delivers what a client wrote before it vanished, then FIN', async () => {
    const accepted = farListener(4000)
    const raw = client()
    raw.write({ type: 'dial', to: to(2, 4000) })
    const { id } = await raw.nextOf('dial-ok')
    const data = generated(900_000)
    raw.write({ type: 'send', id, data })
    raw.socket.end()
    await raw.closed()
    const peer = accepted[0]!
    let bytes = 0
    await new Promise<void>((resolve) => {
      peer.onreadable = () => {
        for (let chunk = peer.read(); chunk !== undefined; chunk = peer.read())
          bytes += chunk.length
        if (peer.ended) resolve()
      }
      peer.onreadable()
    })
    expect(bytes).toBe(data.length)
  })

  it('ignores a Send on a stream of another client, but lets anyone Close it', async () => {
    const accepted = farListener(4000)
    const owner = client()
    const other = client()
    owner.write({ type: 'dial', to: to(2, 4000) })
    const { id } = await owner.nextOf('dial-ok')
    other.write({ type: 'send', id, data: hex('66616b65') }, { type: 'health' })
    expect((await other.next()).type).toBe('json')
    expect(accepted[0]!.read()).toBeUndefined()
    other.write({ type: 'close', id })
    expect(await other.next()).toEqual({ type: 'close-ok', id })
    expect(await owner.next()).toEqual({ type: 'close-ok', id })
    expect(accepted[0]!.ended).toBe(true)
  })

  it('tells a reset as an end, after the data before it', async () => {
    const accepted = farListener(4000)
    const raw = client()
    raw.write({ type: 'dial', to: to(2, 4000) })
    const { id } = await raw.nextOf('dial-ok')
    accepted[0]!.write(hex('01'))
    accepted[0]!.reset()
    expect(await raw.next()).toMatchObject({ type: 'recv', id })
    expect(await raw.next()).toEqual({ type: 'close-ok', id })
    raw.write({ type: 'send', id, data: hex('02') })
    expect(await raw.next()).toEqual({ type: 'close-ok', id })
  })
})

describe('clients that misbehave', () => {
  it('releases ports and cancels dials at once when a client dies', async () => {
    near.dialDelays.set(4000, 60_000)
    const raw = client()
    raw.write({ type: 'bind', port: 5000 }, { type: 'dial', to: to(2, 4000) })
    await raw.nextOf('bind-ok')
    raw.socket.destroy()
    const next = client()
    for (let i = 0; i < 50 && near.listeners.has(5000); i++)
      await new Promise((resolve) => setTimeout(resolve, 10))
    expect(near.abortedDials).toBe(1)
    next.write({ type: 'bind', port: 5000 })
    expect((await next.next()).type).toBe('bind-ok')
  })

  it('resets streams that were not announced yet', async () => {
    const raw = client()
    raw.write({ type: 'bind', port: 5000 })
    await raw.nextOf('bind-ok')
    const connection = await far.dial(to(1, 5000))
    raw.socket.destroy()
    await expect(connection.closed).rejects.toThrow('reset')
  })

  it('never lets a client that does not read delay another, and keeps its memory bounded', async () => {
    const accepted = farListener(4000)
    const slow = client()
    slow.write({ type: 'dial', to: to(2, 4000) })
    const { id } = await slow.nextOf('dial-ok')
    slow.socket.pause()
    const peer = accepted[0]!
    const block = new Uint8Array(64 * 1024)
    let total = 0
    for (let i = 0; i < 200; i++) {
      total += peer.write(block)
      near.deliver({ source: to(2, 1), destinationPort: 9, data: block })
      if (i % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    }
    // The window of the stream closed by itself; the rest is held by nobody.
    expect(total).toBeLessThan(4 * 1024 * 1024)
    const quick = client()
    quick.write({ type: 'health' })
    expect((await quick.nextOf('json')).type).toBe('json')
    slow.socket.resume()
    let bytes = 0
    while (bytes < total) {
      const message = await slow.next()
      if (message.type === 'recv') bytes += message.data.length
    }
    expect(id).toBeGreaterThan(0)
  })

  it('drops a client whose replies pile up and which reads nothing', async () => {
    near.fakeConnections = 2000 // Info replies of about 800 KB
    const raw = client()
    raw.socket.pause()
    for (let i = 0; i < 40; i++) raw.write({ type: 'info' })
    const isDropped = (): boolean => server.clients === 0
    for (let i = 0; i < 100 && !isDropped(); i++)
      await new Promise((resolve) => setTimeout(resolve, 50))
    expect(isDropped()).toBe(true)
  })

  it('pauses only the client whose peer takes nothing, and still notices that it died', async () => {
    const accepted = farListener(4000)
    const stuck = client()
    stuck.write({ type: 'bind', port: 5000 }, { type: 'dial', to: to(2, 4000) })
    const { id } = await stuck.nextOf('dial-ok')
    for (let i = 0; i < 40; i++) stuck.write({ type: 'send', id, data: new Uint8Array(65536) })
    const quick = client()
    quick.write({ type: 'health' })
    expect((await quick.next()).type).toBe('json')
    expect(accepted[0]!.ended).toBe(false)
    await new Promise((resolve) => setTimeout(resolve, 100))
    stuck.socket.destroy()
    for (let i = 0; i < 100 && near.listeners.has(5000); i++)
      await new Promise((resolve) => setTimeout(resolve, 50))
    expect(near.listeners.has(5000)).toBe(false)
  })

  it('serves others beside 100 clients that never finish a frame', async () => {
    for (let i = 0; i < 100; i++) client().socket.write(hex('0010000006').subarray(0, 1 + (i % 5)))
    const raw = client()
    raw.write({ type: 'health' })
    expect((await raw.next()).type).toBe('json')
  })

  it('survives any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 20 }),
        async (bodies) => {
          const raw = client()
          for (const body of bodies) {
            const frame = new Uint8Array(4 + body.length)
            new DataView(frame.buffer).setUint32(0, body.length)
            frame.set(body, 4)
            raw.socket.write(frame)
          }
          raw.socket.write(fc.sample(fc.uint8Array({ maxLength: 50 }), 1)[0]!)
          raw.socket.end()
          await raw.closed()
        },
      ),
      { numRuns: 100 },
    )
    const raw = client()
    raw.write({ type: 'health' })
    expect((await raw.nextOf('json')).type).toBe('json')
  })
})

describe('the socket', () => {
  it('is private, removed at the end, and never stolen from a living daemon', async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600)
    await expect(IpcServer.listen({ node: near, facts, socketPath: path })).rejects.toMatchObject({
      code: 'ERR_ADDRESS_IN_USE',
    })
    await server.close()
    expect(() => statSync(path)).toThrow()
  })

  it('refuses a path that is too long or not a socket', async () => {
    const long = join(directory, 'x'.repeat(120))
    await expect(IpcServer.listen({ node: near, facts, socketPath: long })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
    const file = join(directory, 'file')
    writeFileSync(file, 'precious')
    await expect(IpcServer.listen({ node: near, facts, socketPath: file })).rejects.toMatchObject({
      code: 'ERR_ADDRESS_IN_USE',
    })
    expect(statSync(file).size).toBe(8)
  })

  it('lends a built-in port to a driver and takes it back', async () => {
    await server.close()
    let held = near.listen(1000)
    let lends = 0
    server = await IpcServer.listen({
      node: near,
      facts,
      socketPath: path,
      lentPorts: [
        {
          port: 1000,
          release: () => {
            lends++
            held.close()
          },
          restore: () => {
            held = near.listen(1000)
          },
        },
      ],
    })
    const raw = client()
    raw.write({ type: 'bind', port: 1000 })
    expect((await raw.next()).type).toBe('bind-ok')
    expect(lends).toBe(1)
    expect(near.listeners.get(1000)).not.toBe(held)
    raw.write({ type: 'unbind', port: 1000, dialect: 'v1.9' })
    expect((await raw.next()).type).toBe('unbind-ok')
    expect(near.listeners.get(1000)).toBe(held)
  })

  it('pushes a datagram to every client', async () => {
    const both = [client(), client()]
    for (const one of both) one.write({ type: 'health' })
    for (const one of both) await one.nextOf('json')
    far.sendDatagram(to(1, 6001), hex('6869'))
    for (const one of both)
      expect(await one.next()).toEqual({
        type: 'recv-from',
        source: to(2, 49152),
        destinationPort: 6001,
        data: hex('6869'),
      })
  })
})
