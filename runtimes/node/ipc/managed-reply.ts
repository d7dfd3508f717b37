/** Managed networks (spec/06 §11.1): this daemon runs no policy engine, and says so. */
import { viewOf } from '../../../core/bytes.ts'
import { encodeError, encodeJsonReply } from './daemon-message.ts'
import { OP } from './opcode.ts'

const SUB = {
  score: 1,
  status: 2,
  rankings: 3,
  cycle: 4,
  policy: 5,
  memberTags: 6,
  reconcile: 7,
} as const
const POLICY_GET = 0
const POLICY_SET = 1

export function handleManaged(sub: number, rest: Uint8Array): Uint8Array {
  switch (sub) {
    case SUB.score:
      return rest.length < 10
        ? encodeError('managed score: missing fields (need netID + nodeID + delta)')
        : encodeError(`managed: no engine for network ${viewOf(rest).getUint16(0)}`)
    case SUB.status:
    case SUB.rankings:
    case SUB.cycle:
    case SUB.reconcile:
      return encodeError('managed: no active managed networks')
    case SUB.policy:
      return policy(rest)
    case SUB.memberTags:
      return rest.length < 7
        ? encodeError('managed member-tags: missing action, network_id, or node_id')
        : encodeError(`managed: no engine for network ${viewOf(rest).getUint16(1)}`)
    default:
      return encodeError(
        `managed: unknown sub-command 0x${sub.toString(16).toUpperCase().padStart(2, '0')}`,
      )
  }
}

function policy(rest: Uint8Array): Uint8Array {
  if (rest.length < 3) return encodeError('managed policy: missing sub-sub-command and network_id')
  const network = viewOf(rest).getUint16(1)
  if (rest[0] === POLICY_GET)
    return encodeJsonReply(OP.managedOk, {
      type: 'managed_policy_ok',
      network_id: network,
      engine: 'none',
    })
  if (rest[0] === POLICY_SET) return encodeError(`managed: no engine for network ${network}`)
  const action = rest[0]!.toString(16).toUpperCase().padStart(2, '0')
  return encodeError(`managed policy: unknown action 0x${action}`)
}
