/** The member `pilot_ts` of a state file: what references have no place for (spec/10 §17). */
import { formatRotations, parseRotations } from '../core/trust/key-rotations.ts'
import { OWNER_BYTES_MAX } from './limits.ts'
import type {
  MemberRole,
  StoredConsent,
  StoredMember,
  StoredNode,
  StoredState,
} from './registry-store.ts'
import { cutBytes, parseEndpoint } from './request-fields.ts'
import { array, type Members, textOf } from './snapshot-fields.ts'
import { isRole } from './sqlite-rows.ts'
import { parseTags } from './validation.ts'

/** What references have no place for: ids, and lists as `withOwnMembers` takes them back. */
export function ownMembers(
  state: StoredState,
  nodes: readonly StoredNode[],
): Record<string, unknown> {
  return {
    signs: nodes.filter(({ signsRegistration }) => signsRegistration).map(({ id }) => id),
    relay_only: nodes
      .filter(({ isLive, relayOnly }) => isLive && relayOnly)
      .map(({ id, endpoint }) => [id, endpoint]),
    away: nodes
      .filter(({ isLive }) => !isLive)
      .map(({ id, owner, poloScore }) => [id, owner, poloScore]),
    consents: [...state.consents].map(({ giver, receiver, kind }) => [giver, receiver, kind]),
    relayed: [...state.relayed].map(({ target, from, unixSeconds }) => [target, from, unixSeconds]),
    rotations: nodes
      .filter(({ rotations }) => rotations.length > 0)
      .map(({ id, rotations }) => [id, formatRotations(rotations)]),
    departed: [...state.members]
      .filter(({ departedAt }) => departedAt !== 0)
      .map(({ network, node, role, tags, departedAt }) => [network, node, role, tags, departedAt]),
  }
}

/** What one of ours wrote beside: see `ownMembers`. Entries that fit nothing are passed over. */
export function withOwnMembers(state: StoredState, own: Members): StoredState {
  const rows = (name: string): (readonly unknown[])[] =>
    array(own[name] ?? [], name).map((row) => array(row, name))
  const signs = new Set(array(own.signs ?? [], 'signs'))
  const relayed = new Map(rows('relay_only').map(([id, endpoint]) => [id, textOf(endpoint)]))
  const away = new Map(rows('away').map(([id, owner, score]) => [id, { owner, score }]))
  const rotations = new Map(rows('rotations').map(([id, list]) => [id, parseRotations(list)]))
  const nodes = [...state.nodes].map((node): StoredNode => {
    const endpoint = relayed.get(node.id)
    const { owner, score } = away.get(node.id) ?? {}
    return {
      ...node,
      rotations: rotations.get(node.id) ?? node.rotations,
      ...(signs.has(node.id) ? { signsRegistration: true } : {}),
      ...(endpoint !== undefined && node.isLive
        ? { relayOnly: true, endpoint: parseEndpoint(endpoint) === undefined ? '' : endpoint }
        : {}),
      ...(node.isLive ? {} : { owner: cutBytes(textOf(owner), OWNER_BYTES_MAX) }),
      ...(node.isLive || !Number.isSafeInteger(score) ? {} : { poloScore: Number(score) }),
    }
  })
  const ids = new Set<unknown>(nodes.map(({ id }) => id))
  const networks = new Set<unknown>([...state.networks].map(({ id }) => id))
  const consents = rows('consents').flatMap(([giver, receiver, kind]): StoredConsent[] =>
    ids.has(giver) && ids.has(receiver) && (kind === 'asked' || kind === 'resolved')
      ? [{ giver: Number(giver), receiver: Number(receiver), kind }]
      : [],
  )
  const departed = rows('departed').flatMap(([network, node, role, tags, at]): StoredMember[] => {
    const { tags: good } = { tags: [], ...parseTags(tags) }
    const isGood = networks.has(network) && ids.has(node) && isRole(textOf(role))
    return isGood && Number.isSafeInteger(at)
      ? [
          {
            network: Number(network),
            node: Number(node),
            role: textOf(role) as MemberRole,
            tags: good,
            departedAt: Number(at),
          },
        ]
      : []
  })
  return {
    ...state,
    nodes,
    consents,
    relayed: rows('relayed').flatMap(([target, from, at]) =>
      ids.has(target) && ids.has(from) && Number.isSafeInteger(at)
        ? [{ target: Number(target), from: Number(from), unixSeconds: Number(at) }]
        : [],
    ),
    members: [...state.members, ...departed],
  }
}
