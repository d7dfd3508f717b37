/** The recorded daemons' own requests, made again by our client with their keys, byte for byte. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { fromBase64 } from '../../core/bytes.ts'
import { Identity } from '../../core/identity/identity.ts'
import { type RegistryRequest, RegistryRequests } from '../../core/rendezvous/registry-requests.ts'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'
import { crypto } from '../support.ts'
import { registryLines } from './registry-lines.ts'

const BUILDERS: Readonly<
  Record<string, (requests: RegistryRequests, message: RegistryMessage) => RegistryRequest>
> = {
  register: (requests, { listen_addr, owner }) =>
    requests.register(String(listen_addr), String(owner ?? '')),
  heartbeat: (requests) => requests.heartbeat(),
  deregister: (requests) => requests.deregister(),
  set_hostname: (requests, { hostname }) => requests.setHostname(String(hostname)),
  set_visibility: (requests, message) => requests.setVisibility(message.public === true),
  set_tags: (requests, { tags }) => requests.setTags(tags as string[]),
  set_task_exec: (requests, { enabled }) => requests.setTaskExec(enabled === true),
  poll_handshakes: (requests) => requests.pollHandshakes(),
  report_trust: (requests, { peer_id }) => requests.reportTrust(Number(peer_id)),
  revoke_trust: (requests, { peer_id }) => requests.revokeTrust(Number(peer_id)),
  respond_handshake: (requests, { peer_id, accept }) =>
    requests.respondHandshake(Number(peer_id), accept === true),
  request_handshake: (requests, { to_node_id, justification }) =>
    requests.requestHandshake(Number(to_node_id), String(justification)),
  resolve: (requests, { node_id }) => requests.resolve(Number(node_id)),
  lookup: (requests, { node_id }) => requests.lookup(Number(node_id)),
}

/** Nothing is signed in these: programs hand them over as they are. */
const UNSIGNED = ['resolve_hostname', 'rotate_key', 'get_polo_score', 'update_polo_score']

it('makes every request of session feb-daemons', () => {
  const keys = JSON.parse(
    readFileSync(new URL('../vectors/registry-session-keys.json', import.meta.url), 'utf8'),
  )
  const identities = [keys.daemonA, keys.daemonB].map((one) =>
    Identity.parse(crypto, JSON.stringify(one)),
  )
  const seen = new Set<string>()
  for (const { session, dir, conn, msg } of registryLines('registry-session')) {
    if (session !== 'feb-daemons' || dir !== 'c2s') continue
    const type = String(msg.type)
    seen.add(type)
    // Of the command line's own connection: a registration with half of what it needs, which no node makes.
    if (UNSIGNED.includes(type) || (type === 'register' && !('public_key' in msg))) {
      expect(msg).not.toHaveProperty('signature')
      continue
    }
    const nodeId = conn.startsWith('daemonB') ? 2 : 1
    const identity = identities[nodeId - 1]!
    const { message, challenge } = BUILDERS[type]!(
      new RegistryRequests(identity.publicKey, nodeId),
      msg,
    )
    const built =
      challenge === undefined ? message : { ...message, signature: identity.signBase64(challenge) }
    // Ours signs its registration, which this registry ignores (spec/05 §5).
    if (type === 'register') {
      const { signature, ...members } = built as RegistryMessage
      expect(members).toEqual(msg)
      expect(fromBase64(String(signature))).toHaveLength(64)
    } else expect(built).toEqual(msg)
  }
  expect([...seen].sort()).toEqual([...Object.keys(BUILDERS), ...UNSIGNED].sort())
})
