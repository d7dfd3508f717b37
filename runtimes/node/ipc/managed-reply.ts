/**
 * Managed networks (spec/06 §11.1). This daemon runs no policy engine, and says so; tags of members are the
 * registry's, which decides by the role of this node or by the daemon's admin token.
 */
import { viewOf } from '../../../core/bytes.ts'
import type { PilotNode } from '../../shared/api.ts'
import { encodeError, encodeJsonReply } from './daemon-message.ts'
import { requestErrorText } from './error-text.ts'
import { OP } from './opcode.ts'

export interface ManagedContext {
  readonly node: PilotNode
  readonly adminToken?: string
}

const SUB = {
  score: 1,
  status: 2,
  rankings: 3,
  cycle: 4,
  policy: 5,
  memberTags: 6,
  reconcile: 7,
} as const
const GET = 0
const SET = 1

export async function handleManaged(
  sub: number,
  rest: Uint8Array,
  context: ManagedContext,
): Promise<Uint8Array> {
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
      return memberTags(rest, context)
    default:
      return encodeError(`managed: unknown sub-command 0x${hex2(sub)}`)
  }
}

/** The token as a member of a request, where there is one. */
export function adminMember({ adminToken = '' }: Pick<ManagedContext, 'adminToken'>): {
  admin_token?: string
} {
  return adminToken === '' ? {} : { admin_token: adminToken }
}

function policy(rest: Uint8Array): Uint8Array {
  if (rest.length < 3) return encodeError('managed policy: missing sub-sub-command and network_id')
  const network = viewOf(rest).getUint16(1)
  if (rest[0] === GET)
    return encodeJsonReply(OP.managedOk, {
      type: 'managed_policy_ok',
      network_id: network,
      engine: 'none',
    })
  if (rest[0] === SET) return encodeError(`managed: no engine for network ${network}`)
  return encodeError(`managed policy: unknown action 0x${hex2(rest[0]!)}`)
}

/** `action:u8 network:u16 node:u32`, and for set a JSON list of texts. */
async function memberTags(rest: Uint8Array, context: ManagedContext): Promise<Uint8Array> {
  if (rest.length < 7)
    return encodeError('managed member-tags: missing action, network_id, or node_id')
  const view = viewOf(rest)
  const member = { network_id: view.getUint16(1), target_node_id: view.getUint32(3) }
  const { registry } = context.node
  if (rest[0] === GET) {
    const ask = registry.request({ type: 'get_member_tags', ...member, ...adminMember(context) })
    return reply('member-tags get', ask)
  }
  if (rest[0] !== SET) return encodeError(`managed member-tags: unknown action 0x${hex2(rest[0]!)}`)
  let tags: unknown
  try {
    tags = JSON.parse(new TextDecoder().decode(rest.subarray(7)))
    if (!Array.isArray(tags) || !tags.every((tag) => typeof tag === 'string'))
      throw new Error('need a list of texts')
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    return encodeError(`member-tags set: invalid tags JSON: ${detail}`)
  }
  const type = 'set_member_tags'
  const ask = registry.requestSigned({ type, ...member, tags, ...adminMember(context) })
  return reply('member-tags set', ask)
}

async function reply(label: string, ask: Promise<Record<string, unknown>>): Promise<Uint8Array> {
  try {
    return encodeJsonReply(OP.managedOk, await ask)
  } catch (error) {
    return encodeError(requestErrorText(error, label))
  }
}

function hex2(value: number): string {
  return value.toString(16).toUpperCase().padStart(2, '0')
}
