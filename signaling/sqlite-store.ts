/**
 * The registry's state in one SQLite file: WAL, every commit synced before it returns. The file is ours
 * alone while it is open. What cannot be believed is refused and left as it is (spec/04 §22 W19 to W22, W26).
 */

import { chmodSync, closeSync, existsSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
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
import {
  APPLICATION_ID,
  CLEARING,
  MIGRATIONS,
  SCHEMA,
  SCHEMA_VERSION,
  SQL,
} from './sqlite-schema.ts'
import { hostnameProblem, parseTags } from './validation.ts'

type Change = readonly [keyof typeof SQL, ...SQLInputValue[]]

export class SqliteStore implements RegistryStore {
  readonly path: string
  readonly #database: DatabaseSync
  readonly #statements = new Map<keyof typeof SQL, StatementSync>()
  #changes: Change[] = []

  /**
   * Opens or creates the file (mode 0600) and its directory (0700).
   *
   * @throws {StorageError} `ERR_STORE_CORRUPT` when the file is not a sound store of this program,
   * `ERR_STORE_IO` when it cannot be opened, written, or another process has it open.
   */
  constructor(path: string) {
    this.path = resolve(path)
    prepareFile(this.path)
    try {
      this.#database = new DatabaseSync(this.path)
    } catch (cause) {
      throw this.#problem('open', cause)
    }
    try {
      this.#prepare()
    } catch (cause) {
      this.#database.close()
      throw cause instanceof StorageError ? cause : this.#problem('open', cause)
    }
  }

  #prepare(): void {
    const database = this.#database
    // Exclusive: no shared-memory file, and a second process is told at once.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA busy_timeout = 0')
    const applicationId = this.#number('PRAGMA application_id', 'application_id')
    const version = this.#number('PRAGMA user_version', 'user_version')
    const tables = this.#number('SELECT count(*) AS n FROM sqlite_master', 'n')
    const isNew = applicationId === 0 && version === 0 && tables === 0
    if (!isNew) {
      if (applicationId !== APPLICATION_ID) throw this.#corrupt('it belongs to another program')
      if (version < 1 || version > SCHEMA_VERSION)
        throw this.#corrupt(`its version is ${version}, this program knows ${SCHEMA_VERSION}`)
      const check = database.prepare('PRAGMA quick_check(1)').get() as Row | undefined
      if (check?.quick_check !== 'ok') throw this.#corrupt('its integrity check fails')
    }
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    if (isNew)
      database.exec(
        `BEGIN IMMEDIATE; ${SCHEMA} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`,
      )
    // Takes the write lock now, so that a store that cannot be written is found at the start.
    else if (version === SCHEMA_VERSION) database.exec('BEGIN IMMEDIATE; COMMIT')
    else
      database.exec(
        `BEGIN IMMEDIATE; ${MIGRATIONS.slice(version - 1).join(' ')} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`,
      )
    for (const name of Object.keys(SQL) as (keyof typeof SQL)[])
      this.#statements.set(name, database.prepare(SQL[name]))
  }

  load(): StoredState {
    try {
      const nodes = this.#nodes()
      const nextNodeId = this.#number(
        "SELECT coalesce((SELECT value FROM meta WHERE name = 'next_node_id'), 1) AS n",
        'n',
      )
      if (nextNodeId < 1 || nextNodeId > BROADCAST_NODE) throw this.#corrupt('next_node_id')
      if (nodes.some(({ id }) => id >= nextNodeId)) throw this.#corrupt('next_node_id is too low')
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
      if (cause instanceof BadRow) throw this.#corrupt(cause.message)
      throw cause instanceof StorageError ? cause : this.#problem('read', cause)
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
      throw this.#problem('read', cause)
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
    const database = this.#database
    try {
      database.exec('BEGIN IMMEDIATE')
      for (const [name, ...values] of this.#changes) this.#statements.get(name)!.run(...values)
      database.exec('COMMIT')
    } catch (cause) {
      try {
        if (database.isTransaction) database.exec('ROLLBACK')
      } catch {
        // The failure that matters is the first one; SQLite has rolled back by itself then.
      }
      throw this.#problem('write', cause)
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
      if (publicKey === undefined) throw this.#corrupt(`the key of node ${id}`)
      const endpoint = String(row.endpoint)
      if (endpoint !== '' && parseEndpoint(endpoint) === undefined)
        throw this.#corrupt(`the endpoint of node ${id}`)
      const hostname = String(row.hostname)
      if (hostname !== '' && (hostnameProblem(hostname) !== undefined || hostnames.has(hostname)))
        throw this.#corrupt(`the hostname of node ${id}`)
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
      throw this.#corrupt('next_network_id')
    const members = this.#all('SELECT * FROM members ORDER BY rowid').map(memberOf)
    const invites = this.#all('SELECT * FROM invites ORDER BY rowid').map(inviteOf)
    if (members.some(({ network, node }) => !ids.has(network) || !nodes.has(node)))
      throw this.#corrupt('a member of no network, or that is no node')
    if (invites.some(({ network, target }) => !ids.has(network) || !nodes.has(target)))
      throw this.#corrupt('an invite to no network, or of no node')
    return { nextNetworkId, networks, members, invites }
  }

  #tags(text: unknown, id: number): readonly string[] {
    let value: unknown
    try {
      value = JSON.parse(String(text))
    } catch {
      throw this.#corrupt(`the tags of node ${id}`)
    }
    const { tags } = { tags: undefined, ...parseTags(value) }
    if (tags === undefined || !Array.isArray(value) || tags.length !== value.length)
      throw this.#corrupt(`the tags of node ${id}`)
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
      throw this.#corrupt('a node id out of range')
    return value
  }

  #kind(value: unknown): ConsentKind {
    if (value !== 'asked' && value !== 'resolved') throw this.#corrupt('a kind of consent')
    return value
  }

  #all(sql: string): Row[] {
    return this.#database.prepare(sql).all() as Row[]
  }

  #number(sql: string, column: string): number {
    return Number((this.#database.prepare(sql).get() as Row)[column])
  }

  #corrupt(what: string): StorageError {
    return new StorageError(
      'ERR_STORE_CORRUPT',
      `store ${this.path} is not usable (${what}); it was left as it is: restore a backup or name another file`,
    )
  }

  /** SQLite's result codes: 5 busy, 6 locked, 11 corrupt, 26 not a database. */
  #problem(what: 'open' | 'read' | 'write', cause: unknown): StorageError {
    const code = (cause as { errcode?: number }).errcode ?? 0
    const reason = cause instanceof Error ? cause.message : String(cause)
    if ((code & 0xff) === 11 || (code & 0xff) === 26) return this.#corrupt(reason)
    const text = (code & 0xff) === 5 || (code & 0xff) === 6 ? 'another process has it open' : reason
    return new StorageError('ERR_STORE_IO', `cannot ${what} store ${this.path}: ${text}`, { cause })
  }
}

function prepareFile(path: string): void {
  const directory = dirname(path)
  try {
    makeDirectory(directory)
    if (existsSync(path)) {
      if (!statSync(path).isFile()) throw new Error('it is not a regular file')
      chmodSync(path, 0o600)
      return
    }
    closeSync(openSync(path, 'ax', 0o600))
    // The name itself must survive a power cut, not only the contents.
    const handle = openSync(directory, 'r')
    try {
      fsyncSync(handle)
    } finally {
      closeSync(handle)
    }
  } catch (cause) {
    throw new StorageError(
      'ERR_STORE_IO',
      `cannot create store ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
}

/** Not `recursive`: where a file system refuses with ENOENT (as /proc does), Node tries for ever. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || dirname(path) === path) throw error
    makeDirectory(dirname(path))
    mkdirSync(path, { mode: 0o700 })
  }
}
