/** Paths of a node whose WebRTC runs in a child process: made, lost with the process, made again, without losing a byte. */
import { afterEach, describe, expect, it } from 'vitest'
import type { WebRtcBackend } from '../../../runtimes/node/rtc/backend.ts'
import { RtcProcess } from '../../../runtimes/node/rtc/rtc-process.ts'
import type { SharedPilotNode } from '../../../runtimes/shared/pilot-node.ts'
import type { Rendezvous } from '../../../signaling/index.ts'
import {
  closeAll,
  echo,
  relayedNode,
  rendezvous,
  roundTrip,
  transportOf,
  trusted,
  until,
} from '../shared/relayed-nodes.ts'

afterEach(closeAll)

async function node(
  server: Rendezvous,
  hostname: string,
  backend: WebRtcBackend,
): Promise<{ node: SharedPilotNode; rtc: RtcProcess }> {
  const rtc = new RtcProcess({ backends: [backend], settings: { bindAddress: '127.0.0.1' } })
  const options = { createPeerConnection: () => rtc.create(), parts: [rtc] }
  return { node: await relayedNode(server, hostname, options), rtc }
}

describe('paths by a WebRTC process', () => {
  for (const backend of ['native', 'werift'] as const)
    it(`${backend}: are found, and carry streams`, async () => {
      const server = await rendezvous()
      const [a, b] = await Promise.all([node(server, 'a', backend), node(server, 'b', backend)])
      echo(b.node)
      expect([a.rtc.pid, b.rtc.pid]).toEqual([undefined, undefined])
      await trusted(a.node, b.node)
      await until(() => transportOf(a.node) === 'webrtc', 20_000)
      await until(() => transportOf(b.node) === 'webrtc', 15_000)
      await roundTrip(a.node, b.node.nodeId, 1_000_000)
      expect(a.node.info().drops.forged ?? 0).toBe(0)
    }, 60_000)

  it('that is killed in the middle of a transfer loses no byte, and paths come back', async () => {
    const server = await rendezvous()
    const [a, b] = await Promise.all([node(server, 'a', 'native'), node(server, 'b', 'native')])
    echo(b.node)
    await trusted(a.node, b.node)
    await until(() => transportOf(a.node) === 'webrtc', 20_000)
    const lost: string[] = []
    a.node.on((event) => void (event.type === 'webrtc-lost' && lost.push(event.reason)))
    const transfer = roundTrip(a.node, b.node.nodeId, 16_000_000)
    await new Promise((resolve) => setTimeout(resolve, 100))
    const { pid } = a.rtc
    process.kill(pid!, 'SIGKILL')
    await until(() => transportOf(a.node) === 'relay', 5000)
    await transfer
    expect(lost).toEqual([expect.stringContaining('SIGKILL')])
    await until(() => transportOf(a.node) === 'webrtc' && transportOf(b.node) === 'webrtc', 20_000)
    expect(a.rtc.pid).not.toBe(pid)
    await roundTrip(a.node, b.node.nodeId, 100_000)
  }, 60_000)
})
