/**
 * The registry's state in SQL tables, whoever runs SQLite: changes are kept until `commit`, and leave all together or not
 * at all. What cannot be believed is refused and left as it is (spec/04 §22 W19 to W22, W26).
 */
import { StorageError } from '../core/errors.ts'
import { formatRotations } from '../core/trust/key-rotations.ts'
import { BROADCAST_NODE } from '../core/wire/address.ts'
import type {
  ConsentKind,
  RegistryStore,
  StoredAuditEntry,
  StoredConsent,
  StoredInvite,
  StoredMember,
  StoredNetwork,
  StoredNode,
  StoredRelayed,
  StoredRequest,
  StoredResponse,
  StoredState,
} from './registry-store.ts'
import { parseEndpoint, parsePublicKey } from './request-fields.ts'
import {
  auditOf,
  BadRow,
  inviteOf,
  keyFactsOf,
  memberOf,
  networkOf,
  type Row,
} from './sqlite-rows.ts'
import { CLEARING, SQL } from './sqlite-schema.ts'
import { hostnameProblem, parseTags } from './validation.ts'

/** One statement with its values. */
export type SqlChange = readonly [sql: string, ...values: (string | number)[]]

/** A database with the tables of `sqlite-schema.ts`. */
export interface SqlDatabase {
  all(sql: string): readonly Row[]
  /** Durable when it returns; all or nothing. */
  apply(changes: readonly SqlChange[]): void
  close(): void
  /** What the operator is told of a state that cannot be used. */
  corrupt(what: string): StorageError
  /** What the operator is told of a failure of the database. */
  problem(what: 'open' | 'read' | 'write', cause: unknown): StorageError
}

type Change = readonly [keyof typeof SQL, ...(string | number)[]]

export class SqlStore implements RegistryStore {
  readonly #database: SqlDatabase
  #changes: Change[] = []

  constructor(database: SqlDatabase) {
    this.#database = database
  }

  load(): StoredState {
    try {
      const nodes = this.#nodes()
      const nextNodeId = this.#number(
        "SELECT coalesce((SELECT value FROM meta WHERE name = 'next_node_id'), 1) AS n",
        'n',
      )
      if (nextNodeId < 1 || nextNodeId > BROADCAST_NODE)
        throw this.#database.corrupt('next_node_id')
      if (nodes.some(({ id }) => id >= nextNodeId))
        throw this.#database.corrupt('next_node_id is too low')
      return {
        nextNodeId,
        nodes,
        pairs: this.#all('SELECT low, high FROM pairs').map(
          (row) => [this.#id(row.low), this.#id(row.high)] as const,
        ),
        consents: this.#all('SELECT * FROM consents ORDER BY rowid').map((row) => ({
          giver: this.#id(row.giver),
          receiver: this.#id(row.receiver),
          kind: this.#kind(row.kind),
        })),
        requests: this.#all('SELECT * FROM requests ORDER BY rowid').map((row) => ({
          ...this.#entry(row),
          justification: String(row.justification),
        })),
        responses: this.#all('SELECT * FROM responses ORDER BY rowid').map((row) => ({
          ...this.#entry(row),
          accept: row.accept === 1,
        })),
        relayed: this.#all('SELECT * FROM relayed ORDER BY rowid').map((row) => this.#entry(row)),
        ...this.#networks(new Set(nodes.map(({ id }) => id))),
        audit: this.#all('SELECT * FROM audit ORDER BY sequence').map(auditOf),
      }
    } catch (cause) {
      if (cause instanceof BadRow) throw this.#database.corrupt(cause.message)
      throw cause instanceof StorageError ? cause : this.#database.problem('read', cause)
    }
  }

  saveNextNodeId(next: number): void {
    this.#changes.push(['nextNodeId', next])
  }

  saveNode(node: StoredNode): void {
    this.#changes.push([
      'node',
      node.id,
      node.publicKey,
      node.owner,
      node.endpoint,
      Number(node.isLive),
      Number(node.isPublic),
      node.hostname,
      JSON.stringify(node.tags),
      node.poloScore,
      Number(node.taskExec),
      Number(node.signsRegistration),
      Number(node.relayOnly),
      node.keyCreatedAt,
      node.keyRotatedAt,
      node.keyExpiresAt,
      node.keyRotations,
      node.version,
      JSON.stringify(node.lanAddrs),
      JSON.stringify(node.endpoints),
      JSON.stringify(formatRotations(node.rotations)),
    ])
  }

  savePair(low: number, high: number): void {
    this.#changes.push(['pair', low, high])
  }

  deletePair(low: number, high: number): void {
    this.#changes.push(['noPair', low, high])
  }

  saveConsent({ giver, receiver, kind }: StoredConsent): void {
    this.#changes.push(['consent', giver, receiver, kind])
  }

  deleteConsent(giver: number, receiver: number): void {
    this.#changes.push(['noConsent', giver, receiver])
  }

  saveRequest({ target, from, justification, unixSeconds }: StoredRequest): void {
    this.#changes.push(['request', target, from, justification, unixSeconds])
  }

  deleteRequest(target: number, from: number): void {
    this.#changes.push(['noRequest', target, from])
  }

  saveResponse({ target, from, accept, unixSeconds }: StoredResponse): void {
    this.#changes.push(['response', target, from, Number(accept), unixSeconds])
  }

  deleteResponse(target: number, from: number): void {
    this.#changes.push(['noResponse', target, from])
  }

  saveRelayed({ target, from, unixSeconds }: StoredRelayed): void {
    this.#changes.push(['relayed', target, from, unixSeconds])
  }

  deleteRelayed(target: number, from: number): void {
    this.#changes.push(['noRelayed', target, from])
  }

  saveNextNetworkId(next: number): void {
    this.#changes.push(['nextNetworkId', next])
  }

  saveNetwork(network: StoredNetwork): void {
    this.#changes.push([
      'network',
      network.id,
      network.name,
      network.joinRule,
      network.token,
      network.adminToken,
      Number(network.isEnterprise),
      network.createdAt,
      network.maxMembers,
      JSON.stringify(network.allowedPorts),
      network.description,
      network.rules,
      network.exprPolicy,
    ])
  }

  deleteNetwork(id: number): void {
    this.#changes.push(['noNetwork', id])
  }

  saveMember({ network, node, role, tags, departedAt }: StoredMember): void {
    this.#changes.push(['member', network, node, role, JSON.stringify(tags), departedAt])
  }

  deleteMember(network: number, node: number): void {
    this.#changes.push(['noMember', network, node])
  }

  saveInvite({ network, target, inviter, unixSeconds }: StoredInvite): void {
    this.#changes.push(['invite', network, target, inviter, unixSeconds])
  }

  deleteInvite(network: number, target: number): void {
    this.#changes.push(['noInvite', network, target])
  }

  saveAuditEntry(entry: StoredAuditEntry): void {
    const { sequence, kind, unixSeconds, action, node, network, details } = entry
    this.#changes.push(['audit', sequence, kind, unixSeconds, action, node, network, details])
  }

  deleteAuditEntry(sequence: number): void {
    this.#changes.push(['noAudit', sequence])
  }

  loadSettings(): ReadonlyMap<string, string> {
    try {
      const rows = this.#all('SELECT name, value FROM settings')
      return new Map(rows.map(({ name, value }) => [String(name), String(value)]))
    } catch (cause) {
      throw this.#database.problem('read', cause)
    }
  }

  saveSetting(name: string, value: string): void {
    this.#changes.push(['setting', name, value])
  }

  clear(): void {
    this.#changes = CLEARING.map((name) => [name])
  }

  get pendingChanges(): number {
    return this.#changes.length
  }

  commit(): void {
    if (this.#changes.length === 0) return
    try {
      this.#database.apply(this.#changes.map(([name, ...values]) => [SQL[name], ...values]))
    } catch (cause) {
      throw this.#database.problem('write', cause)
    }
    this.#changes = []
  }

  close(): void {
    try {
      this.commit()
    } finally {
      this.#database.close()
    }
  }

  #nodes(): StoredNode[] {
    const hostnames = new Set<string>()
    return this.#all('SELECT * FROM nodes ORDER BY id').map((row) => {
      const id = this.#id(row.id)
      const publicKey = parsePublicKey(String(row.public_key))
      if (publicKey === undefined) throw this.#database.corrupt(`the key of node ${id}`)
      const endpoint = String(row.endpoint)
      if (endpoint !== '' && parseEndpoint(endpoint) === undefined)
        throw this.#database.corrupt(`the endpoint of node ${id}`)
      const hostname = String(row.hostname)
      if (hostname !== '' && (hostnameProblem(hostname) !== undefined || hostnames.has(hostname)))
        throw this.#database.corrupt(`the hostname of node ${id}`)
      hostnames.add(hostname)
      return {
        id,
        publicKey: publicKey.text,
        owner: String(row.owner),
        endpoint,
        isLive: row.is_live === 1,
        isPublic: row.is_public === 1,
        hostname,
        tags: this.#tags(row.tags, id),
        poloScore: Number(row.polo_score),
        taskExec: row.task_exec === 1,
        signsRegistration: row.signs_registration === 1,
        relayOnly: row.relay_only === 1,
        ...keyFactsOf(row),
      }
    })
  }

  #networks(
    nodes: ReadonlySet<number>,
  ): Pick<StoredState, 'nextNetworkId' | 'networks' | 'members' | 'invites'> {
    const nextNetworkId = this.#number(
      "SELECT coalesce((SELECT value FROM meta WHERE name = 'next_network_id'), 1) AS n",
      'n',
    )
    const networks = this.#all('SELECT * FROM networks ORDER BY id').map(networkOf)
    const ids = new Set(networks.map(({ id }) => id))
    if (nextNetworkId < 1 || networks.some(({ id }) => id >= nextNetworkId))
      throw this.#database.corrupt('next_network_id')
    const members = this.#all('SELECT * FROM members ORDER BY rowid').map(memberOf)
    const invites = this.#all('SELECT * FROM invites ORDER BY rowid').map(inviteOf)
    if (members.some(({ network, node }) => !ids.has(network) || !nodes.has(node)))
      throw this.#database.corrupt('a member of no network, or that is no node')
    if (invites.some(({ network, target }) => !ids.has(network) || !nodes.has(target)))
      throw this.#database.corrupt('an invite to no network, or of no node')
    return { nextNetworkId, networks, members, invites }
  }

  #tags(text: unknown, id: number): readonly string[] {
    let value: unknown
    try {
      value = JSON.parse(String(text))
    } catch {
      throw this.#database.corrupt(`the tags of node ${id}`)
    }
    const { tags } = { tags: undefined, ...parseTags(value) }
    if (tags === undefined || !Array.isArray(value) || tags.length !== value.length)
      throw this.#database.corrupt(`the tags of node ${id}`)
    return tags
  }

  #entry(row: Row): StoredRelayed {
    return {
      target: this.#id(row.target),
      from: this.#id(row.sender),
      unixSeconds: Number(row.unix_seconds),
    }
  }

  #id(value: unknown): number {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 0xffffffff)
      throw this.#database.corrupt('a node id out of range')
    return value
  }

  #kind(value: unknown): ConsentKind {
    if (value !== 'asked' && value !== 'resolved') throw this.#database.corrupt('a kind of consent')
    return value
  }

  #all(sql: string): readonly Row[] {
    return this.#database.all(sql)
  }

  #number(sql: string, column: string): number {
    return Number(this.#all(sql)[0]?.[column])
  }
}
