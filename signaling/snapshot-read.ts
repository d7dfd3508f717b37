/**
 * A reference's state file (spec/04 §15, 05 §20) read into a store. What a daemon relies on must be sound, or
 * nothing is taken; what is only an attribute and cannot be is left out.
 */
import { createHash } from 'node:crypto'
import { BROADCAST_NODE } from '../core/wire/address.ts'
import { JUSTIFICATION_BYTES_MAX, OWNER_BYTES_MAX, POLO_SCORE_MAX } from './limits.ts'
import { parseDocument } from './policy-document.ts'
import { parseExtraEndpoints, parseLanAddrs } from './registration-extras.ts'
import {
  type MemberRole,
  NEW_NODE,
  type StoredInvite,
  type StoredMember,
  type StoredNetwork,
  type StoredNode,
  type StoredRequest,
  type StoredResponse,
  type StoredState,
} from './registry-store.ts'
import { cutBytes, parseEndpoint, parsePublicKey } from './request-fields.ts'
import type { Members } from './snapshot-fields.ts'
import { array, corrupt, integer, object, textOf, timeOf } from './snapshot-fields.ts'
import { withOwnMembers } from './snapshot-own.ts'
import { isJoinRule, isPort, isRole } from './sqlite-rows.ts'
import { hostnameProblem, networkNameProblem, parseTags } from './validation.ts'

/** What was left out or changed, for people. */
export interface ReadSnapshot {
  readonly state: StoredState
  readonly notes: readonly string[]
}

/** @throws {StorageError} `ERR_STORE_CORRUPT`, naming what is wrong. */
export function readSnapshot(text: string, unixSeconds: number): ReadSnapshot {
  return new SnapshotReader(unixSeconds).read(text)
}

/** As `readSnapshot`, of what was parsed already. @throws {StorageError} `ERR_STORE_CORRUPT`. */
export function readSnapshotValue(value: unknown, unixSeconds: number): ReadSnapshot {
  return new SnapshotReader(unixSeconds).readValue(value)
}

class SnapshotReader {
  readonly #now: number
  readonly #notes: string[] = []
  readonly #ids = new Set<number>()

  constructor(unixSeconds: number) {
    this.#now = unixSeconds
  }

  read(text: string): ReadSnapshot {
    checkSum(text)
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      throw corrupt('it is not JSON')
    }
    return this.readValue(value)
  }

  readValue(value: unknown): ReadSnapshot {
    const file = object(value, 'the file')
    const nodes = this.#nodes(
      object(file.nodes, 'nodes'),
      object(file.pub_key_idx ?? {}, 'pub_key_idx'),
    )
    for (const { id } of nodes) this.#ids.add(id)
    const highest = nodes.reduce((most, { id }) => Math.max(most, id), 0)
    const nextNodeId = Math.max(
      highest + 1,
      integer(file.next_node ?? 1, BROADCAST_NODE, 'next_node'),
    )
    const networks: StoredNetwork[] = []
    const members: StoredMember[] = []
    for (const entry of Object.values(object(file.networks ?? {}, 'networks'))) {
      const given = object(entry, 'a network')
      const id = integer(given.id, 0xffff, 'a network id')
      if (id === 0) continue
      networks.push(this.#network(id, given))
      members.push(...this.#members(id, given))
    }
    const topNetwork = networks.reduce((most, { id }) => Math.max(most, id), 0)
    const nextNetworkId = Math.max(topNetwork + 1, integer(file.next_net ?? 1, 0x10000, 'next_net'))
    const pairs = this.#pairs(file.trust_pairs)
    const requests = this.#inbox(file.handshake_inbox, 'handshake_inbox').map(
      ({ target, entry, from, at }): StoredRequest => ({
        target,
        from,
        justification: cutBytes(textOf(entry.justification), JUSTIFICATION_BYTES_MAX),
        unixSeconds: at,
      }),
    )
    const responses = this.#inbox(file.handshake_responses, 'handshake_responses').map(
      ({ target, entry, from, at }): StoredResponse => ({
        target,
        from,
        accept: entry.accept === true,
        unixSeconds: at,
      }),
    )
    const state: StoredState = {
      nextNodeId,
      nodes,
      pairs,
      // Under the reference either side of a pair resolves the other: that stays so (spec/04 §22 W7).
      consents: pairs.flatMap(([a, b]) => [
        { giver: a, receiver: b, kind: 'asked' as const },
        { giver: b, receiver: a, kind: 'asked' as const },
      ]),
      requests,
      responses,
      relayed: requests.map(({ target, from, unixSeconds }) => ({ target, from, unixSeconds })),
      nextNetworkId,
      networks,
      members,
      invites: this.#invites(file.invite_inbox, new Set(networks.map(({ id }) => id))),
      audit: [],
    }
    const own = file.pilot_ts
    const whole = own === undefined ? state : withOwnMembers(state, object(own, 'pilot_ts'))
    return { notes: this.#notes, state: whole }
  }

  #nodes(live: Members, keys: Members): StoredNode[] {
    const nodes: StoredNode[] = []
    const hostnames = new Set<string>()
    const taken = new Set<string>()
    for (const entry of Object.values(live)) {
      const given = object(entry, 'a node')
      const id = integer(given.id, BROADCAST_NODE - 1, 'a node id')
      const key = parsePublicKey(textOf(given.public_key))
      if (id === 0 || key === undefined) throw corrupt(`node ${id} has no sound id and public key`)
      if (taken.has(key.text)) throw corrupt(`the key of node ${id} is that of another node`)
      taken.add(key.text)
      const hostname = textOf(given.hostname)
      const isGood = hostnameProblem(hostname) === undefined && !hostnames.has(hostname)
      if (hostname !== '' && !isGood) this.#notes.push(`the hostname of node ${id} is left out`)
      if (isGood) hostnames.add(hostname)
      const { tags } = { tags: [], ...parseTags(given.tags) }
      const endpoint = textOf(given.real_addr)
      const score = typeof given.polo_score === 'number' ? Math.trunc(given.polo_score) : 0
      nodes.push({
        ...identityOf(id, key.text),
        owner: cutBytes(textOf(given.owner), OWNER_BYTES_MAX),
        endpoint: parseEndpoint(endpoint) === undefined ? '' : endpoint,
        isLive: true,
        isPublic: given.public === true,
        hostname: isGood ? hostname : '',
        tags,
        poloScore: Math.max(-POLO_SCORE_MAX, Math.min(POLO_SCORE_MAX, score)),
        taskExec: given.task_exec === true,
        keyCreatedAt: timeOf(given.key_created) ?? 0,
        keyRotatedAt: timeOf(given.key_rotated) ?? 0,
        keyExpiresAt: timeOf(given.key_expires) ?? 0,
        keyRotations: typeof given.key_rot_count === 'number' ? given.key_rot_count : 0,
        version: cutBytes(textOf(given.version), 64),
        lanAddrs: parseLanAddrs(given.lan_addrs),
        endpoints: parseExtraEndpoints(given.endpoints),
      })
    }
    const known = new Set(nodes.map(({ id }) => id))
    for (const [text, id] of Object.entries(keys)) {
      const key = parsePublicKey(text)
      const number = integer(id, BROADCAST_NODE - 1, 'an id in pub_key_idx')
      if (key === undefined || number === 0) throw corrupt(`pub_key_idx has a key that is none`)
      if (taken.has(key.text)) continue
      // A key that a node had before it got another one (spec/04 §22 W2).
      if (known.has(number)) this.#notes.push(`a former key of node ${number} is left out`)
      else nodes.push(identityOf(number, key.text))
      known.add(number)
    }
    return nodes
  }

  #network(id: number, given: Members): StoredNetwork {
    const name = textOf(given.name)
    if (networkNameProblem(name) !== undefined) throw corrupt(`network ${id} has no sound name`)
    const rule = textOf(given.join_rule)
    const token = textOf(given.token)
    // Nobody could join these, or everybody by saying nothing (spec/05 §24 L8, L9).
    const isClosed = !isJoinRule(rule) || (rule === 'token' && token === '')
    if (isClosed)
      this.#notes.push(`network ${id} can no longer be joined: its join rule has no use`)
    const policy = object(given.policy ?? {}, `the policy of network ${id}`)
    const ports = policy.allowed_ports
    return {
      id,
      name,
      joinRule: isClosed || !isJoinRule(rule) ? 'invite' : rule,
      token,
      adminToken: textOf(given.admin_token),
      isEnterprise: given.enterprise === true,
      createdAt: timeOf(given.created) ?? this.#now,
      maxMembers: integer(policy.max_members ?? 0, 0xffffffff, `the limit of network ${id}`),
      allowedPorts: Array.isArray(ports) && ports.every(isPort) ? ports : null,
      description: cutBytes(textOf(policy.description), 256),
      rules: parseDocument(given.rules).text,
      exprPolicy: parseDocument(given.expr_policy).text,
    }
  }

  #members(network: number, given: Members): StoredMember[] {
    const roles = object(given.member_roles ?? {}, `the roles of network ${network}`)
    const tags = object(given.member_tags ?? {}, `the tags of network ${network}`)
    const hasRoles = Object.keys(roles).length > 0
    const members: StoredMember[] = []
    for (const value of array(given.members, `the members of network ${network}`)) {
      const node = integer(value, BROADCAST_NODE - 1, 'a member')
      if (!this.#ids.has(node) || members.some((member) => member.node === node)) {
        this.#notes.push(`member ${node} of network ${network} is left out: nobody has that id`)
        continue
      }
      const role = textOf(roles[node])
      // Without roles the first member is the owner (spec/05 §20).
      const first: MemberRole = members.length === 0 ? 'owner' : 'member'
      members.push({
        network,
        node,
        role: hasRoles ? (isRole(role) ? role : '') : first,
        tags: { tags: [], ...parseTags(tags[node]) }.tags,
        departedAt: 0,
      })
    }
    return members
  }

  #pairs(given: unknown): (readonly [number, number])[] {
    const pairs = new Map<string, readonly [number, number]>()
    for (const value of array(given ?? [], 'trust_pairs')) {
      const match = /^([1-9]\d{0,9}):([1-9]\d{0,9})$/.exec(textOf(value))
      if (match === null) throw corrupt('trust_pairs has an entry that is no pair')
      const pair = [Number(match[1]), Number(match[2])].sort((a, b) => a - b) as [number, number]
      if (pair.every((id) => this.#ids.has(id))) pairs.set(pair.join(':'), pair)
      else this.#notes.push(`trust ${pair.join(':')} is left out: nobody has one of the ids`)
    }
    return [...pairs.values()]
  }

  #inbox(
    given: unknown,
    name: string,
  ): { target: number; entry: Members; from: number; at: number }[] {
    return Object.entries(object(given ?? {}, name)).flatMap(([target, entries]) =>
      array(entries, name)
        .map((value) => object(value, name))
        .map((entry) => ({
          target: Number(target),
          entry,
          from: integer(entry.from_node_id, BROADCAST_NODE - 1, name),
          at: timeOf(entry.timestamp) ?? this.#now,
        }))
        .filter((item) => this.#ids.has(item.target) && this.#ids.has(item.from)),
    )
  }

  #invites(given: unknown, networks: ReadonlySet<number>): StoredInvite[] {
    return Object.entries(object(given ?? {}, 'invite_inbox')).flatMap(([target, entries]) =>
      array(entries, 'invite_inbox')
        .map((value) => object(value, 'invite_inbox'))
        .map((entry) => ({
          network: integer(entry.network_id, 0xffff, 'invite_inbox'),
          target: Number(target),
          inviter: integer(entry.inviter_id ?? 0, BROADCAST_NODE - 1, 'invite_inbox'),
          unixSeconds: timeOf(entry.timestamp) ?? this.#now,
        }))
        .filter((item) => this.#ids.has(item.target) && networks.has(item.network)),
    )
  }
}

/** Of a node that is not registered. */
function identityOf(id: number, publicKey: string): StoredNode {
  return {
    id,
    publicKey,
    owner: '',
    endpoint: '',
    isLive: false,
    ...NEW_NODE,
    keyCreatedAt: 0,
  }
}

/** SHA-256 of the text without the member `checksum`, which is the last one (spec/05 §20). */
function checkSum(text: string): void {
  const match = /,\s*"checksum":\s*"([0-9a-f]{64})"\s*\}\s*$/.exec(text.slice(-128))
  if (match === null) return
  const start = text.length - Math.min(128, text.length) + match.index
  const sum = createHash('sha256')
    .update(`${text.slice(0, start)}}`)
    .digest('hex')
  if (sum !== match[1]) throw corrupt('its checksum does not match')
}
