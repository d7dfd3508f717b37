/** State files of a reference: one that a v1.9 registry wrote goes into our store and out again. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StorageError } from '../../core/errors.ts'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'
import { MemoryStore, type StoredState } from '../../signaling/registry-store.ts'
import { exportSnapshot, importSnapshot } from '../../signaling/serve-snapshot.ts'
import { readSnapshot } from '../../signaling/snapshot-read.ts'
import { writeSnapshot } from '../../signaling/snapshot-write.ts'
import { RegistryBench } from './registry-bench.ts'

const NOW = 1_795_188_600
const recorded = readFileSync(
  new URL('../vectors/registry-snapshot-v19.json', import.meta.url),
  'utf8',
).trimEnd()

function benchWith(state: StoredState): RegistryBench {
  class Loaded extends MemoryStore {
    override load(): StoredState {
      return state
    }
  }
  return new RegistryBench({ store: new Loaded(), adminToken: 'adm' }, NOW)
}

function withSum(text: string): string {
  const body = text.replace(/,"checksum":"[^"]*"}$/, '}')
  const sum = createHash('sha256').update(body).digest('hex')
  return `${body.slice(0, -1)},"checksum":"${sum}"}`
}

/** The recorded file with changes. */
function changed(change: (file: Record<string, unknown>) => void): string {
  const file = JSON.parse(recorded)
  delete file.checksum
  change(file)
  return JSON.stringify(file)
}

describe('a file of v1.9', () => {
  it('has in it what nodes, networks, trust and inboxes were', () => {
    const { state, notes } = readSnapshot(recorded, NOW)
    expect(notes).toEqual([])
    const bench = benchWith(state)
    const connection = bench.connect()
    const ask = (message: RegistryMessage): RegistryMessage =>
      connection.send({ admin_token: 'adm', ...message })
    expect(ask({ type: 'lookup', node_id: 1 })).toMatchObject({
      hostname: 'alice',
      networks: [0, 1, 2],
      public: true,
      tags: ['web'],
      task_exec: true,
      polo_score: 5,
      real_addr: '127.0.0.1:4000',
      version: 'v1.9.0',
      endpoints: [{ network: 'tcp', addr: '1.2.3.4:443' }],
    })
    expect(ask({ type: 'get_key_info', node_id: 3 })).toMatchObject({ rotate_count: 1 })
    expect(ask({ type: 'get_key_info', node_id: 1 })).toMatchObject({
      expires_at: '2027-01-01T00:00:00Z',
    })
    expect(ask({ type: 'list_networks' }).networks).toMatchObject([
      { id: 0 },
      { id: 1, name: 'corp', join_rule: 'token', members: 2, max_members: 7, description: 'd' },
      { id: 2, name: 'inv', join_rule: 'invite', members: 1, managed: true, has_expr_policy: true },
    ])
    expect(ask({ type: 'get_network_policy', network_id: 1 })).toMatchObject({
      allowed_ports: [80, 443],
    })
    expect(ask({ type: 'get_member_role', network_id: 1, target_node_id: 1 })).toMatchObject({
      role: 'owner',
    })
    expect(ask({ type: 'get_member_tags', network_id: 1, target_node_id: 0 })).toMatchObject({
      members: { 1: [], 2: ['svc'] },
    })
    const byAdmin = { type: 'join_network', node_id: 3, network_id: 1 }
    expect(ask({ ...byAdmin, token: 'bad' }).type).toBe('error')
    expect(ask({ ...byAdmin, token: 'tok' }).type).toBe('join_network_ok')
    expect(bench.registry.desk.networks.invitesFor(3)).toMatchObject([{ network: 2, inviter: 1 }])
    expect(bench.registry.desk.inbox.poll(3, {}).requests).toMatchObject([
      { from: 1, justification: 'hi ß' },
    ])
    expect(bench.registry.desk.trust.hasPair(1, 2)).toBe(true)
    expect(bench.node('new').id).toBe(4)
  })

  it('goes out as it came in, but for what only a reference counts', () => {
    const { state } = readSnapshot(recorded, NOW)
    const written = JSON.parse(writeSnapshot(state, NOW))
    const given = JSON.parse(recorded)
    for (const node of Object.values<Record<string, unknown>>(given.nodes))
      node.last_seen = written.nodes[1].last_seen
    for (const network of Object.values<Record<string, unknown>>(given.networks))
      delete network.request_count
    written.networks[0].created = given.networks[0].created
    const whole = (value: unknown): unknown =>
      JSON.parse(JSON.stringify(value).replaceAll(/(:\d\d)\.\d+Z/g, '$1Z'), (name, member) =>
        name === 'public_key' && member.length === 0 ? undefined : member,
      )
    for (const name of ['nodes', 'networks', 'trust_pairs', 'pub_key_idx', 'next_node', 'next_net'])
      expect(written[name], name).toEqual(given[name])
    for (const name of ['handshake_responses', 'invite_inbox'])
      expect(written[name], name).toEqual(whole(given[name]))
    expect(written.handshake_inbox).toMatchObject({ 1: [{ justification: 'x' }] })
    const again = readSnapshot(JSON.stringify(written), NOW)
    expect(JSON.stringify(again.state)).toBe(JSON.stringify(state))
  })

  it('is refused when its checksum does not match, or it is cut', () => {
    expect(() => readSnapshot(recorded.replace('"alice"', '"mallo"'), NOW)).toThrow(/checksum/)
    expect(() => readSnapshot(recorded.slice(0, -200), NOW)).toThrow(StorageError)
    expect(readSnapshot(withSum(recorded.replace('"alice"', '"mallo"')), NOW).notes).toEqual([])
  })
})

describe('a file', () => {
  it('of the base profile, without anything later, is enough', () => {
    const key = JSON.parse(recorded).nodes[1].public_key
    const { state } = readSnapshot(
      JSON.stringify({
        next_node: 9,
        next_net: 1,
        nodes: { 1: { id: 1, public_key: key, networks: [0], real_addr: '1.2.3.4:http' } },
        networks: { 0: { id: 0, name: 'backbone', join_rule: 'open', members: [1] } },
        pub_key_idx: { [key]: 1 },
      }),
      NOW,
    )
    expect(state.nextNodeId).toBe(9)
    expect([...state.nodes]).toMatchObject([{ id: 1, endpoint: '', isLive: true }])
  })

  it('keeps the ids of keys that are not registered', () => {
    const { state, notes } = readSnapshot(
      changed((file) => {
        delete (file.nodes as Record<string, unknown>)[3]
      }),
      NOW,
    )
    expect([...state.nodes].find(({ id }) => id === 3)).toMatchObject({ isLive: false })
    expect(notes).toEqual([])
  })

  it('gives notes of what it lost', () => {
    const { state, notes } = readSnapshot(
      changed((file) => {
        const nodes = file.nodes as Record<string, Record<string, unknown>>
        nodes[2]!.hostname = 'Bad Name'
        const networks = file.networks as Record<string, Record<string, unknown>>
        networks[1]!.join_rule = 'banana'
        networks[2]!.members = [1, 77]
        file.trust_pairs = ['1:2', '1:99']
      }),
      NOW,
    )
    expect(notes).toHaveLength(4)
    expect([...state.networks].map(({ joinRule }) => joinRule)).toEqual(['invite', 'invite'])
  })

  it.each<[string, (file: Record<string, unknown>) => void]>([
    ['without nodes', (file) => delete file.nodes],
    [
      'with a short key',
      (file) => Object.assign((file.nodes as object[])[1]!, { public_key: 'AA' }),
    ],
    [
      'with one key twice',
      (file) =>
        Object.assign(file.nodes as object, { 9: { ...(file.nodes as object[])[1], id: 9 } }),
    ],
    ['with a pair that is none', (file) => (file.trust_pairs = ['1-2'])],
    ['with an id out of range', (file) => (file.next_node = 2 ** 40)],
    ['with a list for networks', (file) => (file.networks = [])],
  ])('%s is refused or empty, never half taken', (name, change) => {
    const read = (): unknown => readSnapshot(changed(change), NOW)
    if (name.includes('list')) expect(read).toThrow(/networks/)
    else expect(read).toThrow(StorageError)
  })

  it('of any JSON is read or refused', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        try {
          readSnapshot(text, NOW)
        } catch (error) {
          expect(error).toBeInstanceOf(StorageError)
        }
      }),
    )
  })
})

it('goes through a store on disk, once', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pilot-snapshot-'))
  try {
    const [given, store, out] = ['given.json', 'a.sqlite', 'out.json'].map((name) =>
      join(folder, name),
    ) as [string, string, string]
    writeFileSync(given, recorded)
    const counts = { nodes: 3, networks: 2, trustPairs: 1 }
    expect(importSnapshot(given, store, NOW)).toEqual({ ...counts, notes: [] })
    expect(() => importSnapshot(given, store, NOW)).toThrow(/is not empty/)
    expect(exportSnapshot(store, out, NOW)).toEqual(counts)
    expect(statSync(out).mode & 0o777).toBe(0o600)
    expect(readFileSync(out, 'utf8')).toBe(writeSnapshot(readSnapshot(recorded, NOW).state, NOW))
    for (const bad of [join(folder, 'none'), folder])
      expect(() => importSnapshot(bad, store, NOW)).toThrow(/cannot read snapshot/)
    expect(() => exportSnapshot(store, join(folder, 'no', 'x'), NOW)).toThrow(/cannot write/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
