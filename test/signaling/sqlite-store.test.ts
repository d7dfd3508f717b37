/** The SQLite store: what is committed is there again, what is damaged is refused and left alone. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { StorageError } from '../../core/errors.ts'
import type { RegistryOptions } from '../../signaling/registry.ts'
import { SqliteStore } from '../../signaling/sqlite-store.ts'
import { type BenchNode, RegistryBench } from './registry-bench.ts'

/** Columns of `nodes` that versions 3 and 4 added. */
const LATER_COLUMNS = [
  'key_created',
  'key_rotated',
  'key_expires',
  'key_rotations',
  'version',
  'lan_addrs',
  'endpoints',
  'rotations',
]

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pilot-store-'))
  file = join(folder, 'kept', 'store.sqlite')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Runs a registry on the file; what it did is committed when `use` ends. */
function withRegistry<T>(
  use: (bench: RegistryBench) => T,
  options: Partial<RegistryOptions> = {},
): T {
  const store = new SqliteStore(file)
  try {
    const result = use(new RegistryBench({ store, ...options }))
    store.commit()
    return result
  } finally {
    store.close()
  }
}

/** The node of before, on a new connection. */
function again(bench: RegistryBench, node: BenchNode): BenchNode {
  node.connection = bench.connect('192.0.2.1')
  return node
}

describe('what was committed', () => {
  it('is there again: ids, keys, attributes, score, and who is next', () => {
    const [a, gone] = withRegistry((bench) => {
      const one = bench.node('a', { isPublic: true })
      one.signed('set_hostname', { hostname: 'alice' })
      one.signed('set_tags', { tags: ['web', 'gpu'] })
      one.signed('set_task_exec', { enabled: true })
      one.connection.send({ type: 'update_polo_score', node_id: 1, delta: 7 })
      const two = bench.node('gone')
      two.signed('deregister')
      return [one, two]
    })
    withRegistry((bench) => {
      expect(again(bench, a).lookup()).toEqual({
        type: 'lookup_ok',
        node_id: 1,
        address: '0:0000.0000.0001',
        networks: [0],
        public_key: a.key,
        public: true,
        hostname: 'alice',
        tags: ['web', 'gpu'],
        task_exec: true,
        polo_score: 7,
        real_addr: '192.0.2.1:4000',
      })
      expect(a.heartbeat().type).toBe('heartbeat_ok')
      expect(bench.node('new').id).toBe(3)
      expect(again(bench, gone).register()).toMatchObject({ node_id: 2 })
    })
  })

  it('is there again: trust, consent, inboxes and the memory of requests', () => {
    const [a, b, c] = withRegistry((bench) => {
      const nodes = ['a', 'b', 'c'].map((name) => bench.node(name)) as [
        BenchNode,
        BenchNode,
        BenchNode,
      ]
      nodes[0].toward('report_trust', nodes[1])
      nodes[1].toward('report_trust', nodes[0])
      nodes[0].toward('request_handshake', nodes[2], { justification: 'bitte €' })
      nodes[2].toward('request_handshake', nodes[1])
      nodes[1].toward('respond_handshake', nodes[2], { accept: true })
      return nodes
    })
    withRegistry((bench) => {
      expect(again(bench, a).toward('resolve', b).type).toBe('resolve_ok')
      expect(again(bench, c).poll()).toMatchObject({
        requests: [{ from_node_id: 1, justification: 'bitte €' }],
        responses: [{ from_node_id: 2, accept: true }],
      })
      c.heartbeat()
      expect(c.toward('respond_handshake', a, { accept: false }).type).toBe('respond_handshake_ok')
      expect(again(bench, b).toward('revoke_trust', a).type).toBe('revoke_trust_ok')
    })
    withRegistry((bench) => {
      expect(again(bench, c).poll()).toMatchObject({ requests: [], responses: [] })
      expect(again(bench, a).toward('resolve', b).type).toBe('error')
      expect(a.poll().responses).toHaveLength(1)
    })
  })

  it('is there again: networks, members, roles, invites, policies and the audit log', () => {
    const options = { adminToken: 'adm' }
    const networks = (bench: RegistryBench): unknown =>
      bench.connect().send({ type: 'list_networks' }).networks
    const told = (bench: RegistryBench, type: string): unknown =>
      bench.connect().send({ type, network_id: 1, admin_token: 'adm' })
    const reads = ['list_nodes', 'get_member_tags', 'get_network_policy', 'get_audit_log']
    const first = withRegistry((bench) => {
      const [a, b, c] = ['a', 'b', 'c'].map((name) => bench.node(name)) as [
        BenchNode,
        BenchNode,
        BenchNode,
      ]
      const make = (name: string): unknown =>
        a.connection.send({
          type: 'create_network',
          node_id: a.id,
          name,
          join_rule: 'invite',
          enterprise: true,
          admin_token: 'adm',
          rules: { links: 3, cycle: '24h' },
        }).network_id
      expect([make('corp'), make('gone')]).toEqual([1, 2])
      a.connection.send({ type: 'delete_network', network_id: 2, admin_token: 'adm' })
      for (const { id } of [b, c])
        a.connection.send({
          type: 'invite_to_network',
          network_id: 1,
          inviter_id: a.id,
          target_node_id: id,
          admin_token: 'adm',
        })
      const accept = { type: 'respond_invite', node_id: b.id, network_id: 1, accept: true }
      b.send(accept, `respond_invite:${b.id}:1`)
      const byAdmin = { network_id: 1, target_node_id: b.id, admin_token: 'adm' }
      a.connection.send({ type: 'promote_member', ...byAdmin })
      a.connection.send({ type: 'set_member_tags', ...byAdmin, tags: ['x'] })
      a.connection.send({ type: 'set_network_policy', ...byAdmin, allowed_ports: [80] })
      return { c, before: [networks(bench), ...reads.map((type) => told(bench, type))] }
    }, options)
    withRegistry((bench) => {
      const now = [networks(bench), ...reads.map((type) => told(bench, type))]
      const text = (value: unknown): string =>
        JSON.stringify(value).replaceAll(/"(last_seen|created)":("[^"]*"|\d+)/g, '"$1":0')
      expect(text(now)).toBe(text(first.before))
      expect(again(bench, first.c).signed('poll_invites')).toMatchObject({
        invites: [{ network_id: 1, inviter_id: 1 }],
      })
      const reply = bench.connect().send({
        type: 'create_network',
        node_id: 1,
        name: 'next',
        admin_token: 'adm',
      })
      expect(reply).toMatchObject({ network_id: 3 })
    }, options)
  })

  it('is there again: rotated keys and the mark of signed registrations', () => {
    const a = withRegistry((bench) => {
      const node = bench.node('a')
      node.register({ signature: node.identity.signBase64(`register::4000:${node.key}`) })
      return node
    })
    withRegistry((bench) => {
      const node = again(bench, a)
      node.register({ listen_addr: ':4999' })
      expect(bench.registry.desk.nodes.live(1)?.endpoint).toMatch(/:4000$/)
    })
  })

  it('counts nodes that were live as just seen', () => {
    const a = withRegistry((bench) => bench.node('a'))
    withRegistry((bench) => {
      bench.pass(179_000)
      expect(again(bench, a).lookup().type).toBe('lookup_ok')
      bench.pass(61_000)
      expect(a.lookup().type).toBe('error')
    })
  })
})

describe('the file', () => {
  it('and its folder are private', () => {
    withRegistry((bench) => bench.node('a'))
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder, 'kept')).mode & 0o777).toBe(0o700)
    chmodSync(file, 0o644)
    withRegistry(() => {})
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  it('is synced at every commit', () => {
    new SqliteStore(file).close()
    const opened: string[] = []
    const original = DatabaseSync.prototype.exec
    DatabaseSync.prototype.exec = function exec(sql: string): void {
      opened.push(sql)
      original.call(this, sql)
    }
    try {
      new SqliteStore(file).close()
    } finally {
      DatabaseSync.prototype.exec = original
    }
    expect(opened.join(';')).toMatch(/journal_mode = WAL.*synchronous = FULL/s)
  })

  it('opens once at a time', () => {
    const store = new SqliteStore(file)
    expect(() => new SqliteStore(file)).toThrow(/store\.sqlite: another process has it open/)
    store.close()
    new SqliteStore(file).close()
  })

  it.each<[string, () => void]>([
    ['text', () => writeFileSync(file, 'this is not a database '.repeat(100))],
    [
      'another program’s database',
      () => {
        const database = new DatabaseSync(file)
        database.exec('CREATE TABLE t (a)')
        database.close()
      },
    ],
    [
      'a newer version',
      () => {
        withRegistry((bench) => bench.node('a'))
        edit('PRAGMA user_version = 6')
      },
    ],
    [
      'a damaged page',
      () => {
        withRegistry((bench) => {
          for (let i = 0; i < 9; i++) bench.node(`n${i}`)
        })
        const bytes = readFileSync(file)
        bytes.fill(0x5a, 4096, 4096 + 2048)
        writeFileSync(file, bytes)
      },
    ],
    [
      'a truncated file',
      () => {
        withRegistry((bench) => bench.node('a'))
        writeFileSync(file, readFileSync(file).subarray(0, 5000))
      },
    ],
    ['a short key', () => damaged("UPDATE nodes SET public_key = 'AAAA'")],
    ['a hostname that cannot be', () => damaged("UPDATE nodes SET hostname = 'A B'")],
    ['tags that cannot be', () => damaged("UPDATE nodes SET tags = '[1'")],
    ['an endpoint that cannot be', () => damaged("UPDATE nodes SET endpoint = 'x:y'")],
    ['an id counter below an id', () => damaged('UPDATE meta SET value = 1')],
    ['an unknown kind of consent', () => damaged("INSERT INTO consents VALUES (1, 2, 'x')")],
    ['an id out of range', () => damaged('INSERT INTO pairs VALUES (0, 99999999999)')],
  ])('with %s is refused by name and left as it is', (_name, damage) => {
    mkdirSync(join(folder, 'kept'))
    damage()
    const before = readFileSync(file)
    let error: unknown
    try {
      const store = new SqliteStore(file)
      try {
        store.load()
      } finally {
        store.close()
      }
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(StorageError)
    expect(error).toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    expect(String(error)).toContain(file)
    expect(readFileSync(file).equals(before)).toBe(true)
  })

  it('of version 1 becomes one of today, and its nodes keep what they had', () => {
    const node = withRegistry((bench) => {
      const one = bench.node('a', { isPublic: true })
      one.signed('set_hostname', { hostname: 'alice' })
      return one
    })
    for (const table of ['networks', 'members', 'invites', 'audit', 'settings'])
      edit(`DROP TABLE ${table}`)
    for (const column of LATER_COLUMNS) edit(`ALTER TABLE nodes DROP COLUMN ${column}`)
    edit('ALTER TABLE nodes DROP COLUMN relay_only')
    edit('PRAGMA user_version = 1')
    for (const listenAddr of [':4000', '']) {
      withRegistry((bench) => {
        expect(again(bench, node).lookup()).toMatchObject({
          hostname: 'alice',
          real_addr: '192.0.2.1:4000',
        })
        if (listenAddr === '') node.register({ listen_addr: '', relay_only: true })
      })
    }
    withRegistry((bench) => {
      expect(again(bench, node).lookup()).toMatchObject({ hostname: 'alice', relay_only: true })
      expect(node.lookup()).not.toHaveProperty('real_addr')
    })
  })

  it('of version 3 becomes one of today', () => {
    const node = withRegistry((bench) => bench.node('a', { isPublic: true }))
    edit('ALTER TABLE nodes DROP COLUMN rotations')
    edit('DROP TABLE settings')
    edit('PRAGMA user_version = 3')
    withRegistry((bench) => expect(again(bench, node).lookup()).toMatchObject({ node_id: 1 }))
  })

  it('that is empty becomes a store', () => {
    mkdirSync(join(folder, 'kept'))
    writeFileSync(file, '')
    expect(withRegistry((bench) => bench.node('a').id)).toBe(1)
  })

  it('whose folder cannot be made is refused by name', () => {
    writeFileSync(join(folder, 'kept'), '')
    expect(() => new SqliteStore(file)).toThrow(/cannot create store .*store\.sqlite/)
  })
})

it('keeps every change pending when a commit fails, and nothing of it on disk', () => {
  const store = new SqliteStore(file)
  const bench = new RegistryBench({ store })
  bench.node('a')
  store.commit()
  bench.node('b')
  // Two ids with one key: the table refuses it, and so the whole commit.
  store.saveNode({ ...bench.registry.desk.nodes.get(1)!, id: 9 })
  const pending = store.pendingChanges
  expect(() => store.commit()).toThrow(expect.objectContaining({ code: 'ERR_STORE_IO' }))
  expect(store.pendingChanges).toBe(pending)
  expect(() => store.close()).toThrow(StorageError)
  withRegistry((later) => {
    expect(later.registry.desk.nodes.size).toBe(1)
    expect(later.node('c').id).toBe(2)
  })
})

function edit(sql: string): void {
  const database = new DatabaseSync(file)
  database.exec(sql)
  database.close()
}

function damaged(sql: string): void {
  withRegistry((bench) => bench.node('a'))
  edit(sql)
}
