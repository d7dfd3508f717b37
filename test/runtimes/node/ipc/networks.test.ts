/** Networks and nodes at the daemon's socket: recorded requests of v1.9, what they become at the registry, and their replies. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { PilotError } from '../../../../core/errors.ts'
import type { DriverMessage } from '../../../../runtimes/node/ipc/driver-message.ts'
import { IpcServer } from '../../../../runtimes/node/ipc/server.ts'
import { hex, vectors } from '../../../support.ts'
import { FakeNetwork, type FakeNode } from '../fake-node.ts'
import { RawClient } from './raw-client.ts'

const facts = { version: '0', owner: '', hasIdentity: true, beacon: '', transport: 'udp' } as const

let directory: string
let node: FakeNode
let server: IpcServer
let raw: RawClient
let asked: Record<string, unknown>[]
let refreshed: number
/** What the registry answers next: a reply, or the text of its refusal. */
let answer: Record<string, unknown> | string

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pilot-ipc-'))
  node = new FakeNetwork().add(1)
  asked = []
  refreshed = 0
  const ask = async (message: Record<string, unknown>): Promise<Record<string, unknown>> => {
    asked.push(message)
    if (typeof answer === 'string') throw new PilotError('ERR_REGISTRY', answer)
    return answer
  }
  node.registry.request = ask
  node.registry.lookup = (nodeId) => ask({ type: 'lookup', node_id: nodeId })
  node.registry.requestSigned = (message) => ask({ ...message, signed: true })
  server = await IpcServer.listen({
    node,
    facts,
    socketPath: join(directory, 's'),
    adminToken: 'adm',
    refreshNetworks: async () => {
      refreshed++
    },
  })
  raw = new RawClient(join(directory, 's'))
})
afterEach(async () => {
  raw.socket.destroy()
  await server.close()
  rmSync(directory, { recursive: true })
})

const recorded = vectors('ipc-v19', 'exchange').filter((one) =>
  /^(NETWORK|MANAGED member tags|LOOKUP_NODE)/.test(one.name),
)

it.each(recorded.map((one) => [one.name as string, one]))('%s', async (_, one) => {
  const [reply] = one.replies
  const refusal = /: registry: (.*)$/.exec(reply.text ?? '')?.[1]
  const { source, ...known } = JSON.parse(reply.json ?? '{}')
  answer = refusal ?? known
  // What trust was given to is told without the registry.
  if (source === 'trusted') {
    const trusted = {
      nodeId: 2,
      publicKey: known.public_key,
      approvedAt: 1,
      mutual: true,
      network: 0,
    }
    node.trust.trusted = () => [trusted]
  }
  raw.socket.write(hex(one.request_hex))
  const message = await raw.next()
  if (message.type === 'json') expect(JSON.parse(message.text)).toEqual(JSON.parse(reply.json))
  else {
    expect(message.type).toBe('error')
    // Go's words for bad JSON are its own.
    const [text] = `${reply.text}`.split(/(?<=invalid tags JSON: )/)
    expect((message as { text: string }).text.slice(0, text!.length)).toBe(text)
  }
  const isLocal = refusal === undefined && (reply.json === undefined || source === 'trusted')
  expect(asked.length).toBe(isLocal ? 0 : 1)
})

it('asks the registry with the daemon token where the reference does, and signs what changes something', async () => {
  answer = { type: 'ok' }
  const expected: Record<string, unknown>[] = []
  const run = async (message: DriverMessage, request: Record<string, unknown>): Promise<void> => {
    expected.push(request)
    raw.write(message)
    await raw.next()
  }
  const network = 3
  const [network_id, admin_token, signed] = [3, 'adm', true]
  await run({ type: 'network-list' }, { type: 'list_networks' })
  await run({ type: 'network-members', network }, { type: 'list_nodes', network_id, admin_token })
  await run(
    { type: 'network-join', network, token: 'secret' },
    { type: 'join_network', network_id, token: 'secret', admin_token, signed },
  )
  await run(
    { type: 'network-leave', network },
    { type: 'leave_network', network_id, admin_token, signed },
  )
  await run(
    { type: 'network-invite', network, nodeId: 9 },
    { type: 'invite_to_network', network_id, target_node_id: 9, admin_token, signed },
  )
  await run({ type: 'network-poll-invites' }, { type: 'poll_invites', signed })
  await run(
    { type: 'network-respond', network, accept: true },
    { type: 'respond_invite', network_id, accept: true, signed },
  )
  expect(asked).toEqual(expected)
  // All but what is about invites of others.
  expect(refreshed).toBe(5)
})
