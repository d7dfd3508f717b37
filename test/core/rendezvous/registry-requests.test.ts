/** What is signed: recorded requests that a v1.9 registry accepted verify over the texts of our builders. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { fromBase64, utf8 } from '../../../core/bytes.ts'
import {
  type RegistryRequest,
  RegistryRequests,
} from '../../../core/rendezvous/registry-requests.ts'
import type { RegistryMessage } from '../../../core/wire/registry-message.ts'
import { crypto } from '../../support.ts'

interface Line {
  readonly conn: string
  readonly dir: 'c2s' | 's2c'
  readonly msg: RegistryMessage
}

const number = (message: RegistryMessage, name: string): number => Number(message[name])
const BUILDERS: Readonly<
  Record<string, (requests: RegistryRequests, message: RegistryMessage) => RegistryRequest>
> = {
  join_network: (requests, message) =>
    requests.joinNetwork(number(message, 'network_id'), String(message.token ?? '')),
  leave_network: (requests, message) => requests.leaveNetwork(number(message, 'network_id')),
  invite_to_network: (requests, message) =>
    requests.inviteToNetwork(number(message, 'network_id'), number(message, 'target_node_id')),
  poll_invites: (requests) => requests.pollInvites(),
  respond_invite: (requests, message) =>
    requests.respondInvite(number(message, 'network_id'), message.accept === true),
  set_key_expiry: (requests, message) => requests.setKeyExpiry(String(message.expires_at)),
  rotate_key: (requests, message) =>
    requests.rotateKey(fromBase64(String(message.new_public_key))!, false),
}

it('signs what v1.9 verified', () => {
  const lines = readFileSync(
    new URL('../../vectors/registry-session-v19.jsonl', import.meta.url),
    'utf8',
  )
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
  const keys = new Map<number, Uint8Array>()
  const seen: Record<string, number> = {}
  lines.forEach(({ dir, msg: answer }, i) => {
    const request = lines[i - 1]?.msg
    if (dir !== 's2c' || request === undefined || answer.type === 'error') return
    const builder = BUILDERS[String(request.type)]
    if (builder !== undefined && typeof request.signature === 'string') {
      const nodeId = number(
        request,
        'inviter_id' in request && !('node_id' in request) ? 'inviter_id' : 'node_id',
      )
      const key = keys.get(nodeId)!
      const built = builder(new RegistryRequests(key, nodeId), request)
      const { signature: text, ...members } = request
      expect(built.message).toMatchObject(members)
      const signature = fromBase64(text as string)!
      expect(crypto.ed25519Verify(key, utf8(built.challenge!), signature), built.challenge).toBe(
        true,
      )
      seen[String(request.type)] = (seen[String(request.type)] ?? 0) + 1
    }
    if (answer.type === 'register_ok' || answer.type === 'rotate_key_ok')
      keys.set(number(answer, 'node_id'), fromBase64(String(answer.public_key))!)
  })
  expect(Object.keys(seen).sort()).toEqual(Object.keys(BUILDERS).sort())
})

it('names addresses of the own network in register only where there are any', () => {
  const requests = new RegistryRequests(new Uint8Array(32), 0)
  expect(requests.register(':4000', '').message).not.toHaveProperty('lan_addrs')
  const lanAddrs = ['192.168.1.5:4000']
  expect(requests.register(':4000', '', false, lanAddrs).message).toMatchObject({
    lan_addrs: lanAddrs,
  })
})

it('says who asks for a name, as later registries want for private nodes, once it is somebody', () => {
  const name = { type: 'resolve_hostname', hostname: 'bob' }
  expect(new RegistryRequests(new Uint8Array(32), 7).resolveHostname('bob')).toEqual({
    message: { ...name, requester_id: 7 },
    challenge: 'resolve_hostname:7',
  })
  expect(new RegistryRequests(new Uint8Array(32), 0).resolveHostname('bob')).toEqual({
    message: name,
  })
})
