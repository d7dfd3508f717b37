/** The recorded standby subscription: our primary answers it, our standby is fed by it. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import { afterAll, expect, it } from 'vitest'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../../core/wire/registry-message.ts'
import { SILENT_LOG } from '../../signaling/log.ts'
import { ReplicationFeed } from '../../signaling/replication-feed.ts'
import { createRendezvous, type RendezvousOptions } from '../../signaling/serve-node.ts'
import { RegistryBench } from '../signaling/registry-bench.ts'
import { RegistrySocket } from '../signaling/registry-socket.ts'
import { Mask } from './masks.ts'
import { withoutAdditions } from './registry-additions.ts'
import { registryLines } from './registry-lines.ts'

const lines = registryLines('registry-session').filter((one) => one.session === 'feb-replication')
const mask = new Mask('replication of February 2026')
const SUBSCRIPTION = lines.find((one) => one.conn === 'sub#2')!.msg
const snapshots = lines.filter((one) => one.msg.snapshot !== undefined).map((one) => one.msg)

const start = (options: Partial<RendezvousOptions>) =>
  createRendezvous({ registryAddress: '127.0.0.1:0', beaconAddress: '127.0.0.1:0', ...options })

/** What ours says instead, by the type of the request, or of the message to the standby. */
const DEVIATIONS: Readonly<Record<string, (recorded: RegistryMessage) => RegistryMessage>> = {
  // 04 §22 W11: nobody sets scores, so there is none; W8: nor an answer to what was not asked.
  set_polo_score: () => ({ type: 'error', error: 'refused' }),
  respond_handshake: () => ({ type: 'error', error: 'refused' }),
  replication_snapshot: (recorded) => {
    const snapshot = structuredClone(recorded.snapshot) as Record<string, RegistryMessage>
    const alice = (snapshot.nodes as Record<string, RegistryMessage>)['1']!
    delete alice.polo_score
    snapshot.handshake_responses = {}
    return { ...recorded, snapshot }
  },
}

it('our primary answers the recorded standby and the node beside it', async () => {
  const primary = await start({ replicationToken: 'rtok' })
  const sockets = new Map<string, RegistrySocket>()
  let answers = 0
  try {
    for (const [i, { conn, dir, msg }] of lines.entries()) {
      let socket = sockets.get(conn)
      if (socket === undefined) {
        socket = await RegistrySocket.open(primary.registryEndpoint.port)
        sockets.set(conn, socket)
      }
      if (dir === 'c2s') {
        socket.socket.write(encodeRegistryFrame(msg))
        continue
      }
      if (msg.type === 'heartbeat') continue // in virtual time below
      if (msg === snapshots[1]) {
        // Nothing changed when the score was refused, so nothing is pushed: the standby comes anew.
        socket.close()
        socket = await RegistrySocket.open(primary.registryEndpoint.port)
        sockets.set(conn, socket)
        socket.socket.write(encodeRegistryFrame(SUBSCRIPTION))
      }
      const reply = (await socket.receive())!
      const request = lines[i - 1]!.msg
      const key = String(msg.type === 'replication_snapshot' ? msg.type : request.type)
      const wanted = DEVIATIONS[key]?.(msg) ?? msg
      const got = mask.over(withoutAdditions(reply, wanted), wanted)
      // Later members of a state go along (spec/05 §20, spec/10 §17).
      if (msg.snapshot !== undefined) expect(got, `${i} ${key}`).toMatchObject(wanted)
      else expect(got, `${i} ${key}`).toEqual(wanted)
      answers++
    }
  } finally {
    for (const socket of sockets.values()) socket.close()
    await primary.close()
  }
  expect(answers).toBe(12)
})

it('our primary says that it lives as the recorded one did', () => {
  const feed = new ReplicationFeed(() => new RegistryBench().registry.desk.state(), SILENT_LOG)
  const decoder = new RegistryFrameDecoder()
  const write = (bytes: Uint8Array): void => decoder.push(bytes)
  feed.add({ destroyed: false, writableLength: 0, write, destroy: () => {} }, false, 0)
  for (let at = 0; at <= 15_500; at += 250) feed.tick({ at, unixSeconds: 1 })
  expect(decoder.next()?.type).toBe('replication_snapshot')
  expect(decoder.next()).toEqual(lines.at(-1)!.msg)
  expect(decoder.next()).toBeUndefined()
})

it('our standby is fed by the recorded primary', async () => {
  const said: RegistryMessage[] = []
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const standby = await start({
    standby: {
      primary: { address: '127.0.0.1', port: (server.address() as AddressInfo).port },
      token: 'rtok',
    },
  })
  try {
    const [socket] = (await once(server, 'connection')) as [Socket]
    socket.on('error', () => {})
    const decoder = new RegistryFrameDecoder()
    while (said.length === 0) {
      const [chunk] = (await once(socket, 'data')) as [Uint8Array]
      decoder.push(chunk)
      for (let one = decoder.next(); one !== undefined; one = decoder.next()) said.push(one)
    }
    // The recorded primary passes over `parts` (spec/10 §17).
    expect(said).toEqual([{ ...SUBSCRIPTION, parts: true }])
    const client = await RegistrySocket.open(standby.registryEndpoint.port)
    const until = async (isGood: (reply: RegistryMessage) => boolean): Promise<RegistryMessage> => {
      for (;;) {
        const reply = (await client.request({ type: 'lookup', node_id: 1 }))!
        if (isGood(reply)) return reply
      }
    }
    socket.write(encodeRegistryFrame(snapshots[0]!))
    const first = await until((reply) => reply.type === 'lookup_ok')
    expect(first).toMatchObject({ hostname: 'h1', networks: [0] })
    expect(first.tags).toBeUndefined() // the first snapshot leaves them out
    socket.write(encodeRegistryFrame(lines.at(-1)!.msg)) // a heartbeat in between
    socket.write(encodeRegistryFrame(snapshots[1]!))
    const second = await until((reply) => reply.tags !== undefined)
    expect(second).toMatchObject({ tags: ['a'], polo_score: 8, task_exec: true })
    expect(await client.request({ type: 'lookup', node_id: 2 })).toMatchObject({
      public_key: 'NOxMSmHPNAzB7VIx/wFiaedHdhduYrOlIfnS5TpH248=',
    })
    client.close()
    socket.destroy()
  } finally {
    await standby.close()
    server.close()
  }
})

afterAll(() => mask.expectAllUsed())
