/** WebRTC paths between two nodes whose UDP reaches only the rendezvous: negotiated over the relayed tunnel. */
import { afterEach, describe, expect, it } from 'vitest'
import {
  closeAll,
  connectionMaker,
  echo,
  relayedNode,
  rendezvous,
  roundTrip,
  transportOf,
  trusted,
  until,
} from './relayed-nodes.ts'

const { make: createPeerConnection, made } = connectionMaker()

afterEach(async () => {
  made.length = 0
  await closeAll()
})

describe('WebRTC paths', () => {
  it('are made for trusted peers that are only relayed, carry the streams, and are left without a loss', async () => {
    const server = await rendezvous()
    const a = await relayedNode(server, 'a', { createPeerConnection })
    const b = await relayedNode(server, 'b', { createPeerConnection })
    echo(b)
    await trusted(a, b)
    await roundTrip(a, b.nodeId, 100_000)
    await until(() => transportOf(a) === 'webrtc', 20_000)
    await until(() => transportOf(b) === 'webrtc', 20_000)
    await roundTrip(a, b.nodeId, 500_000)
    expect(a.info().drops.forged ?? 0).toBe(0)
  }, 60_000)

  it('that die in the middle of a transfer lose no byte: the relay takes over', async () => {
    const server = await rendezvous()
    const a = await relayedNode(server, 'a', { createPeerConnection })
    const b = await relayedNode(server, 'b', { createPeerConnection })
    echo(b)
    await trusted(a, b)
    await until(() => transportOf(a) === 'webrtc', 20_000)
    const transfer = roundTrip(a, b.nodeId, 4_000_000)
    await new Promise((resolve) => setTimeout(resolve, 150))
    for (const connection of made) await connection.close()
    await until(() => transportOf(a) === 'relay', 15_000)
    await transfer
    await roundTrip(a, b.nodeId, 1000)
  }, 60_000)

  it('are not made when signaling was tampered with, and the reason is visible', async () => {
    const server = await rendezvous()
    const a = await relayedNode(server, 'a', { createPeerConnection })
    const b = await relayedNode(server, 'b')
    // b speaks the negotiation itself, with a signature that is not its own.
    b.listen(446).onconnection = (stream) => {
      const json = Buffer.from(
        JSON.stringify({
          session: '0'.repeat(32),
          sequence: 1,
          body: JSON.stringify({ kind: 'description', type: 'answer', sdp: 'v=0' }),
          signature: Buffer.alloc(64).toString('base64'),
        }),
      )
      const head = Buffer.alloc(4)
      head.writeUInt32BE(json.length)
      stream.write(Buffer.concat([head, json]))
    }
    echo(b)
    await trusted(a, b)
    await roundTrip(a, b.nodeId, 1000)
    await until(() => (a.peers()[0]?.directReason ?? '').includes('invalid signature'), 20_000)
    expect(a.peers()[0]).toMatchObject({ path: 'relay', transport: 'relay' })
    await roundTrip(a, b.nodeId, 1000)
  }, 60_000)

  it('are refused to strangers', async () => {
    const server = await rendezvous()
    const a = await relayedNode(server, 'a', { createPeerConnection })
    const b = await relayedNode(server, 'b', { createPeerConnection })
    echo(b)
    await roundTrip(a, b.nodeId, 1000)
    await expect(
      a.dial({ address: { network: 0, node: b.nodeId }, port: 446 }),
    ).resolves.toBeDefined()
    expect(a.peers()[0]?.transport).toBe('relay')
  }, 30_000)

  it('are not missed by a peer that has none: the relay goes on', async () => {
    const server = await rendezvous()
    const a = await relayedNode(server, 'a', { createPeerConnection })
    const b = await relayedNode(server, 'b')
    echo(b)
    await trusted(a, b)
    await roundTrip(a, b.nodeId, 100_000)
    await until(() => (a.peers()[0]?.directReason ?? '') !== '', 20_000)
    expect(a.peers()[0]).toMatchObject({ path: 'relay', transport: 'relay' })
    await roundTrip(a, b.nodeId, 1000)
  }, 60_000)
})
