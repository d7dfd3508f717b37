import { expect, it } from 'vitest'
import { ownRequest } from '../../../core/rendezvous/own-request.ts'
import { RegistryRequests } from '../../../core/rendezvous/registry-requests.ts'

const requests = new RegistryRequests(new Uint8Array(32), 7)

it.each([
  [{ type: 'join_network', network_id: 3, token: 't' }, 'join_network:7:3'],
  [{ type: 'leave_network', network_id: 3 }, 'leave_network:7:3'],
  [{ type: 'invite_to_network', network_id: 3, target_node_id: 9 }, 'invite:7:3:9'],
  [{ type: 'poll_invites' }, 'poll_invites:7'],
  [{ type: 'respond_invite', network_id: 3, accept: true }, 'respond_invite:7:3'],
])('signs %o as the registry wants it', (message, challenge) => {
  const made = ownRequest(requests, message)
  expect(made.challenge).toBe(challenge)
  expect(made.message).toMatchObject(message)
  expect(made.message.node_id ?? made.message.inviter_id).toBe(7)
})

it('names the node whatever the caller says, and takes an admin token along', () => {
  const made = ownRequest(requests, {
    type: 'kick_member',
    node_id: 1,
    network_id: 3,
    target_node_id: 9,
    admin_token: 'a',
  })
  expect(made.message).toMatchObject({ node_id: 7, target_node_id: 9, admin_token: 'a' })
  expect(made.challenge).toContain('kick_member')
})

it.each([
  [{ type: 'register' }],
  [{ type: 'deregister' }],
  [{ type: 'constructor' }],
  [{}],
  [{ type: 'join_network' }],
  [{ type: 'join_network', network_id: 65536 }],
  [{ type: 'join_network', network_id: '3' }],
  [{ type: 'join_network', network_id: 3, token: 5 }],
  [{ type: 'respond_invite', network_id: 3, accept: 'yes' }],
  [{ type: 'kick_member', network_id: 3, target_node_id: -1 }],
  [{ type: 'set_member_tags', network_id: 3, target_node_id: 1, tags: [1] }],
  [{ type: 'set_network_policy', network_id: 3, allowed_ports: ['80'] }],
])('refuses %o', (message) => {
  expect(() => ownRequest(requests, message as never)).toThrow(
    expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
  )
})
