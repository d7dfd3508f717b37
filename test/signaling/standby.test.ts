/** A registry that follows another one (spec/04 §16): what it shows, refuses, keeps, and takes over. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'
import {
  encodeRegistryFrame,
  REGISTRY_FRAME_MAX,
  RegistryFrameDecoder,
} from '../../core/wire/registry-message.ts'
import { SILENT_LOG } from '../../signaling/log.ts'
import { ReplicationFeed } from '../../signaling/replication-feed.ts'
import { certificateFingerprint, selfSignedCertificate } from '../../signaling/serve-certificate.ts'
import { createRendezvous, type RendezvousOptions } from '../../signaling/serve-node.ts'
import { readSnapshotValue } from '../../signaling/snapshot-read.ts'
import { identity, RegistryBench } from './registry-bench.ts'
import { RegistrySocket } from './registry-socket.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pilot-standby-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const start = (options: Partial<RendezvousOptions>) =>
  createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
    adminToken: 'adm',
    ...options,
  })

/** Asks until the answer is as wanted, at most 5 s. */
async function until(
  socket: RegistrySocket,
  message: RegistryMessage,
  isGood: (reply: RegistryMessage) => boolean,
): Promise<RegistryMessage> {
  for (let i = 0; ; i++) {
    const reply = (await socket.request(message))!
    if (isGood(reply) || i >= 100) return reply
    await sleep(50)
  }
}

it('follows over TLS, answers and refuses, and takes over with its store', async () => {
  const tls = selfSignedCertificate(Date.now())
  const fingerprint = certificateFingerprint(tls.cert)
  const primary = await start({ replicationToken: 'rtok', tls })
  const node = await RegistrySocket.open(primary.registryEndpoint.port, { tls: true })
  await node.register(identity('a'))
  await node.signed(identity('a'), 'set_hostname', 1, { hostname: 'alice' })
  const storePath = join(folder, 'b.sqlite')
  const link = { primary: primary.registryEndpoint, token: 'rtok', fingerprint }
  const standby = await start({ storePath, standby: link })
  const client = await RegistrySocket.open(standby.registryEndpoint.port)

  const isFound = ({ type }: RegistryMessage): boolean => type !== 'error'
  expect(await until(client, { type: 'lookup', node_id: 1 }, isFound)).toMatchObject({
    hostname: 'alice',
  })
  await node.register(identity('b'))
  const made = { type: 'create_network', node_id: 2, name: 'corp', admin_token: 'adm' }
  expect((await node.request(made))?.type).toBe('create_network_ok')
  const lookup = await until(
    client,
    { type: 'lookup', node_id: 2 },
    ({ networks }) => String(networks) === '0,1',
  )
  expect(lookup).toMatchObject({ networks: [0, 1] })
  const readOnly = 'standby mode: write operations not accepted (use primary)'
  expect(await client.register(identity('c'))).toEqual({ type: 'error', error: readOnly })
  expect(await client.request(made)).toEqual({ type: 'error', error: readOnly })
  expect((await client.signed(identity('a'), 'heartbeat', 1))?.type).toBe('heartbeat_ok')

  node.close()
  await primary.close()
  expect(await client.request({ type: 'lookup', node_id: 1 })).toMatchObject({ hostname: 'alice' })
  client.close()
  await standby.close()

  const successor = await start({ storePath })
  const later = await RegistrySocket.open(successor.registryEndpoint.port)
  expect(await later.register(identity('b'))).toMatchObject({ node_id: 2 })
  expect(await later.register(identity('c'))).toMatchObject({ node_id: 3 })
  expect(await later.request({ type: 'lookup', node_id: 2 })).toMatchObject({ networks: [0, 1] })
  later.close()
  await successor.close()
})

describe('a primary', () => {
  it('speaks as the reference to who says its token, and lets nobody else follow', async () => {
    const primary = await start({ replicationToken: 'rtok' })
    const subscribe = async (token: string): Promise<RegistrySocket> => {
      const socket = await RegistrySocket.open(primary.registryEndpoint.port)
      socket.socket.write(encodeRegistryFrame({ type: 'subscribe_replication', token }))
      return socket
    }
    const stranger = await subscribe('wrong')
    expect(await stranger.receive()).toEqual({ type: 'error', error: 'invalid replication token' })
    await stranger.closed
    const standby = await subscribe('rtok')
    expect(await standby.receive()).toMatchObject({
      type: 'replication_snapshot',
      snapshot: { next_node: 1, networks: { 0: { name: 'backbone' } } },
    })
    const node = await RegistrySocket.open(primary.registryEndpoint.port)
    await node.register(identity('a'))
    expect(await standby.receive()).toMatchObject({ snapshot: { next_node: 2, nodes: { 1: {} } } })
    node.close()
    standby.close()
    await primary.close()
  })

  it('sends a long state in parts to who takes them, and lets go of who does not', () => {
    const bench = new RegistryBench({ limits: { registrationsPerMinute: 1e6 } })
    for (let i = 0; i < 50; i++) {
      const node = bench.node(`n${i}`)
      const record = bench.registry.desk.nodes.live(node.id)!
      bench.registry.desk.nodes.change(record, { owner: 'ü"'.repeat(20_000) })
    }
    const feed = new ReplicationFeed(() => bench.registry.desk.state(), SILENT_LOG)
    const channel = () => {
      const written: Uint8Array[] = []
      let destroyed = false
      return {
        written,
        get destroyed() {
          return destroyed
        },
        writableLength: 0,
        write: (bytes: Uint8Array) => written.push(bytes),
        destroy: () => (destroyed = true),
      }
    }
    const [ours, theirs] = [channel(), channel()]
    expect(feed.add(ours, true, 0)).toBe(true)
    expect(feed.add(theirs, false, 0)).toBe(true)
    feed.tick({ at: 1, unixSeconds: 1 })
    expect(theirs.destroyed).toBe(true)
    const decoder = new RegistryFrameDecoder()
    const texts: string[] = []
    let parts: unknown
    for (const bytes of ours.written) {
      expect(bytes.length).toBeLessThanOrEqual(4 + REGISTRY_FRAME_MAX)
      decoder.push(bytes)
      const message = decoder.next()!
      if (message.type === 'replication_part') texts.push(String(message.text))
      else parts = message.parts
    }
    expect(parts).toBe(texts.length)
    expect(texts.length).toBeGreaterThan(1)
    const { state } = readSnapshotValue(JSON.parse(texts.join('')), 1)
    expect([...state.nodes]).toHaveLength(50)
  })

  it('says that it lives, and lets go of who does not read', () => {
    const feed = new ReplicationFeed(() => new RegistryBench().registry.desk.state(), SILENT_LOG)
    const written: Uint8Array[] = []
    const channel = {
      destroyed: false,
      writableLength: 0,
      write: (bytes: Uint8Array) => written.push(bytes),
      destroy: () => {
        channel.destroyed = true
      },
    }
    feed.add(channel, false, 0)
    for (let at = 1; at < 60_000; at += 250) feed.tick({ at, unixSeconds: 1 })
    expect(written).toHaveLength(4)
    channel.writableLength = 1
    for (let at = 60_000; at <= 70_000; at += 250) feed.tick({ at, unixSeconds: 1 })
    expect(channel.destroyed).toBe(true)
    expect(feed.size).toBe(0)
  })
})
