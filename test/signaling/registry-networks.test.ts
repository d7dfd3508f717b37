/** Custom networks: who makes, joins, leads and leaves them, and who is told of it (spec/05 §11 to §14, §17). */
import { describe, expect, it } from 'vitest'
import {
  type RegistryRequest,
  RegistryRequests,
  withSignature,
} from '../../core/rendezvous/registry-requests.ts'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'
import { AuditExports } from '../../signaling/audit-exports.ts'
import { AuditLog } from '../../signaling/audit-log.ts'
import { MemoryStore } from '../../signaling/registry-store.ts'
import { type BenchNode, RegistryBench, refused, START_SECONDS } from './registry-bench.ts'

const ADMIN = 'adm'

/** What a node asks by the builders of the core. */
function ask(node: BenchNode, make: (requests: RegistryRequests) => RegistryRequest) {
  const { message, challenge } = make(new RegistryRequests(node.identity.publicKey, node.id))
  if (challenge === undefined) return node.connection.send(message)
  const signature = new Uint8Array(Buffer.from(node.identity.signBase64(challenge), 'base64'))
  return node.connection.send(withSignature(message, signature))
}

function scene({ joinRule = 'open' as 'open' | 'token' | 'invite', isEnterprise = true } = {}) {
  const bench = new RegistryBench({ adminToken: ADMIN })
  const [owner, a, b] = ['owner', 'a', 'b'].map((name) => bench.node(name)) as [
    BenchNode,
    BenchNode,
    BenchNode,
  ]
  const token = joinRule === 'token' ? 'tok' : ''
  const made = ask(owner, (r) =>
    r.createNetwork(
      { name: 'corp', joinRule, token, isEnterprise, networkAdminToken: 'nat' },
      ADMIN,
    ),
  )
  expect(made).toEqual({
    type: 'create_network_ok',
    network_id: 1,
    name: 'corp',
    enterprise: isEnterprise,
  })
  return { bench, owner, a, b }
}

describe('create', () => {
  it('needs an admin token, and a registry that has one', () => {
    const without = new RegistryBench().node('a')
    expect(ask(without, (r) => r.createNetwork({ name: 'corp' }, ''))).toEqual(
      refused('network creation is disabled'),
    )
    const { a } = scene()
    for (const token of ['', 'ad', 'adm ', 'nat'])
      expect(ask(a, (r) => r.createNetwork({ name: 'x' }, token))).toEqual(
        refused('invalid admin token'),
      )
  })

  it.each<[RegistryMessage, string | RegExp]>([
    [{ name: 'corp' }, 'network "corp" already exists'],
    [{ name: 'Bad' }, /^invalid network name/],
    [{ name: 'backbone' }, /reserved/],
    [{ name: 'x', join_rule: 'banana' }, /^invalid join_rule/],
    [{ name: 'x', join_rule: 'token' }, /token required/],
    [{ name: 'x', join_rule: 'invite' }, /^enterprise feature: invite-only/],
    [{ name: 'x', rules: { links: 1, cycle: '10s' } }, /^invalid rules: cycle/],
    [{ name: 'x', rules: { links: 1, cycle: '24h', fill: 2 } }, /^invalid rules: fill/],
    [{ name: 'x', rules: '{' }, /not JSON/],
    [{ name: 'x', expr_policy: { version: 2 } }, /^invalid expr_policy: version/],
    [{ name: 'x', node_id: 99 }, 'node 99: node not found'],
  ])('refuses %j', (fields, reason) => {
    const { owner } = scene()
    const message = { type: 'create_network', node_id: owner.id, admin_token: ADMIN, ...fields }
    expect(owner.connection.send(message)).toEqual(
      refused(typeof reason === 'string' ? reason : expect.stringMatching(reason)),
    )
  })

  it('gives no id away twice', () => {
    const { owner } = scene()
    expect(ask(owner, (r) => r.deleteNetwork(1)).type).toBe('delete_network_ok')
    expect(ask(owner, (r) => r.createNetwork({ name: 'corp' }, ADMIN))).toMatchObject({
      network_id: 2,
    })
  })
})

describe('join', () => {
  it('by the right token, once, signed or with the admin token', () => {
    const { a, b } = scene({ joinRule: 'token' })
    expect(ask(a, (r) => r.joinNetwork(1, 'bad'))).toEqual(refused('invalid token for network 1'))
    expect(ask(a, (r) => r.joinNetwork(1, 'tok'))).toEqual({
      type: 'join_network_ok',
      network_id: 1,
      address: `1:0001.0000.000${a.id}`,
    })
    expect(ask(a, (r) => r.joinNetwork(1, 'tok'))).toEqual(
      refused(`node ${a.id} already in network 1`),
    )
    const unsigned = { type: 'join_network', node_id: b.id, network_id: 1, token: 'tok' }
    expect(a.connection.send(unsigned)).toEqual(
      refused('signature required for authenticated node'),
    )
    expect(a.connection.send({ ...unsigned, admin_token: 'nat' })).toEqual(refused())
    expect(a.connection.send({ ...unsigned, admin_token: ADMIN }).type).toBe('join_network_ok')
    expect(ask(a, (r) => r.joinNetwork(0))).toEqual(refused('cannot join the backbone network'))
    expect(ask(a, (r) => r.joinNetwork(9))).toEqual(refused('network 9: network not found'))
  })

  it('makes members resolve each other and shows in lookup, until one leaves', () => {
    const { owner, a } = scene()
    expect(a.toward('resolve', owner)).toEqual(refused())
    ask(a, (r) => r.joinNetwork(1))
    expect(a.toward('resolve', owner)).toMatchObject({ real_addr: '192.0.2.1:4000' })
    expect(a.lookup()).toMatchObject({ networks: [0, 1] })
    expect(ask(a, (r) => r.checkTrust(owner.id))).toEqual({ type: 'check_trust_ok', trusted: true })
    expect(ask(a, (r) => r.leaveNetwork(1))).toEqual({ type: 'leave_network_ok', network_id: 1 })
    expect(a.toward('resolve', owner)).toEqual(refused())
    expect(ask(a, (r) => r.leaveNetwork(1))).toEqual(
      refused(`node ${a.id} is not a member of network 1`),
    )
    expect(ask(owner, (r) => r.leaveNetwork(1))).toEqual(
      refused('cannot leave network: owner must transfer ownership first'),
    )
  })

  it('stops at the limit of the network', () => {
    const { owner, a, b } = scene()
    expect(ask(owner, (r) => r.setNetworkPolicy(1, { maxMembers: 2 })).type).toBe(
      'set_network_policy_ok',
    )
    expect(ask(a, (r) => r.joinNetwork(1)).type).toBe('join_network_ok')
    expect(ask(b, (r) => r.joinNetwork(1))).toEqual(refused('network membership limit reached'))
    expect(ask(owner, (r) => r.setNetworkPolicy(1, { maxMembers: 1 }))).toEqual(
      refused('cannot set max_members to 1: network already has 2 members'),
    )
  })
})

describe('a membership', () => {
  it('waits 7 days for a node that deregistered, without opening or showing anything', () => {
    const { bench, owner, a } = scene()
    ask(a, (r) => r.joinNetwork(1))
    a.signed('deregister')
    owner.heartbeat()
    expect(ask(owner, (r) => r.networkMembers(1)).nodes).toHaveLength(1)
    bench.pass(6 * 86_400_000)
    a.register()
    expect(a.lookup()).toMatchObject({ networks: [0, 1] })
    a.signed('deregister')
    bench.pass(7 * 86_400_000)
    a.register()
    expect(a.lookup()).toMatchObject({ networks: [0] })
  })

  it('stays with a node that only fell silent, shown as offline', () => {
    const { bench, owner, a } = scene()
    ask(a, (r) => r.joinNetwork(1))
    for (let i = 0; i < 6; i++) {
      bench.pass(60_000)
      owner.heartbeat()
    }
    expect(ask(owner, (r) => r.networkMembers(1)).nodes).toContainEqual({
      node_id: a.id,
      address: `1:0001.0000.000${a.id}`,
      offline: true,
      role: 'member',
    })
  })
})

describe('roles', () => {
  it('count with a signature or a token only', () => {
    const { owner, a, b } = scene()
    for (const node of [a, b]) ask(node, (r) => r.joinNetwork(1))
    const forged = {
      type: 'promote_member',
      network_id: 1,
      node_id: owner.id,
      target_node_id: a.id,
    }
    expect(a.connection.send(forged)).toEqual(refused('signature required for authenticated node'))
    expect(ask(a, (r) => r.kickMember(1, b.id))).toEqual(refused())
    expect(ask(owner, (r) => r.promoteMember(1, a.id))).toEqual({
      type: 'promote_member_ok',
      network_id: 1,
      target_node_id: a.id,
      role: 'admin',
    })
    expect(ask(owner, (r) => r.promoteMember(1, a.id))).toEqual(
      refused(`node ${a.id} is already an admin`),
    )
    expect(ask(a, (r) => r.kickMember(1, owner.id))).toEqual(
      refused('cannot kick the network owner'),
    )
    expect(ask(a, (r) => r.kickMember(1, b.id)).type).toBe('kick_member_ok')
    expect(ask(a, (r) => r.memberRole(1, b.id))).toEqual(
      refused(`node ${b.id} is not a member of network 1`),
    )
    const byToken = { ...forged, type: 'demote_member', node_id: 0, admin_token: 'nat' }
    expect(b.connection.send(byToken).type).toBe('demote_member_ok')
  })

  it('pass with the ownership', () => {
    const { owner, a } = scene()
    ask(a, (r) => r.joinNetwork(1))
    expect(ask(a, (r) => r.transferOwnership(1, a.id))).toEqual(refused())
    expect(ask(owner, (r) => r.transferOwnership(1, a.id))).toEqual({
      type: 'transfer_ownership_ok',
      network_id: 1,
      old_owner: owner.id,
      new_owner: a.id,
    })
    expect(ask(a, (r) => r.memberRole(1, owner.id))).toMatchObject({ role: 'admin' })
    expect(ask(a, (r) => r.renameNetwork(1, 'corp2'))).toMatchObject({ name: 'corp2' })
    expect(ask(owner, (r) => r.deleteNetwork(1))).toEqual(refused())
    expect(ask(a, (r) => r.deleteNetwork(1)).type).toBe('delete_network_ok')
    expect(ask(a, (r) => r.deleteNetwork(0))).toEqual(refused('cannot delete the backbone network'))
  })

  it('need the enterprise flag where v1.9 wants it, and go with it', () => {
    const { owner, a } = scene({ isEnterprise: false })
    ask(a, (r) => r.joinNetwork(1))
    expect(ask(owner, (r) => r.kickMember(1, a.id))).toEqual(
      refused('enterprise feature: requires enterprise network'),
    )
    expect(ask(owner, (r) => r.setMemberTags(1, a.id, ['service'])).type).toBe('set_member_tags_ok')
    const set = (enterprise: boolean): RegistryMessage =>
      a.connection.send({
        type: 'set_network_enterprise',
        network_id: 1,
        enterprise,
        admin_token: ADMIN,
      })
    expect(set(true).type).toBe('set_network_enterprise_ok')
    expect(ask(owner, (r) => r.memberRole(1, owner.id))).toMatchObject({ role: 'owner' })
    set(false)
    expect(ask(owner, (r) => r.renameNetwork(1, 'x'))).toEqual(refused())
    set(true)
    expect(ask(owner, (r) => r.memberRole(1, owner.id))).toMatchObject({ role: 'owner' })
    expect(ask(owner, (r) => r.memberRole(1, a.id))).toMatchObject({ role: 'member' })
  })
})

describe('what members know', () => {
  it('is told to them, by a proven connection, and to tokens; to others the network is not there', () => {
    const { bench, owner, a } = scene()
    const stranger = bench.connect()
    for (const message of [
      { type: 'list_nodes', network_id: 1 },
      { type: 'get_member_tags', network_id: 1, target_node_id: 0 },
      { type: 'get_expr_policy', network_id: 1 },
    ]) {
      expect(stranger.send(message), message.type).toEqual(refused('network 1: network not found'))
      a.heartbeat()
      expect(a.connection.send(message).type, message.type).toBe('error')
      owner.heartbeat()
      for (const reply of [
        owner.connection.send(message),
        stranger.send({ ...message, admin_token: 'nat' }),
      ])
        expect(reply.type, message.type).toBe(`${message.type}_ok`)
    }
    expect(stranger.send({ type: 'get_network_policy', network_id: 0 })).toEqual({
      type: 'get_network_policy_ok',
      network_id: 0,
      max_members: 0,
      allowed_ports: [],
      description: '',
    })
  })

  it('comes in pages', () => {
    const { owner, a, b } = scene()
    for (const node of [a, b]) ask(node, (r) => r.joinNetwork(1))
    const page = (after: number): RegistryMessage =>
      owner.connection.send({
        type: 'list_nodes',
        network_id: 1,
        limit: 2,
        after,
        admin_token: ADMIN,
      })
    expect(page(0)).toMatchObject({ nodes: [{ node_id: 1 }, { node_id: 2 }], truncated: true })
    expect(page(2).nodes).toMatchObject([{ node_id: 3 }])
    expect(page(2)).not.toHaveProperty('truncated')
    const all = { type: 'list_nodes', network_id: 0 }
    expect(owner.connection.send(all)).toEqual(refused())
    expect(owner.connection.send({ ...all, admin_token: ADMIN }).nodes).toHaveLength(3)
  })
})

describe('invites', () => {
  it('stay until answered, one per network and target', () => {
    const { bench, owner, a, b } = scene({ joinRule: 'invite' })
    expect(ask(a, (r) => r.joinNetwork(1))).toEqual(refused())
    expect(ask(a, (r) => r.inviteToNetwork(1, b.id))).toEqual(
      refused(`inviter ${a.id} is not a member of network 1`),
    )
    const invited = { type: 'invite_to_network_ok', network_id: 1, target_node_id: a.id }
    expect(ask(owner, (r) => r.inviteToNetwork(1, a.id))).toEqual(invited)
    expect(ask(owner, (r) => r.inviteToNetwork(1, a.id))).toEqual({
      ...invited,
      status: 'already_invited',
    })
    for (let i = 0; i < 2; i++)
      expect(ask(a, (r) => r.pollInvites())).toEqual({
        type: 'poll_invites_ok',
        invites: [{ network_id: 1, inviter_id: owner.id, timestamp: START_SECONDS }],
      })
    expect(ask(a, (r) => r.respondInvite(1, true))).toEqual({
      type: 'respond_invite_ok',
      accepted: true,
      network_id: 1,
    })
    expect(ask(a, (r) => r.respondInvite(1, true))).toEqual(refused())
    expect(ask(owner, (r) => r.inviteToNetwork(1, a.id))).toEqual(
      refused(`node ${a.id} is already a member of network 1`),
    )
    ask(owner, (r) => r.inviteToNetwork(1, b.id))
    expect(ask(b, (r) => r.respondInvite(1, false))).toMatchObject({ accepted: false })
    expect(ask(b, (r) => r.pollInvites()).invites).toEqual([])
    ask(owner, (r) => r.inviteToNetwork(1, b.id))
    b.heartbeat()
    bench.at += 31 * 86_400_000
    bench.pass(0)
    b.register()
    expect(ask(b, (r) => r.pollInvites()).invites).toEqual([])
  })

  it('end with the network and with who sent them', () => {
    const { owner, a, b } = scene({ joinRule: 'invite' })
    ask(owner, (r) => r.inviteToNetwork(1, a.id))
    ask(a, (r) => r.respondInvite(1, true))
    ask(owner, (r) => r.promoteMember(1, a.id))
    ask(a, (r) => r.inviteToNetwork(1, b.id))
    ask(owner, (r) => r.kickMember(1, a.id))
    expect(ask(b, (r) => r.pollInvites()).invites).toEqual([])
    ask(owner, (r) => r.inviteToNetwork(1, b.id))
    ask(owner, (r) => r.deleteNetwork(1))
    expect(ask(b, (r) => r.pollInvites()).invites).toEqual([])
  })
})

describe('policies', () => {
  it('keep what is left out', () => {
    const { owner } = scene()
    const set = (fields: RegistryMessage): RegistryMessage =>
      owner.connection.send({
        type: 'set_network_policy',
        network_id: 1,
        admin_token: ADMIN,
        ...fields,
      })
    expect(set({ max_members: 7 })).toMatchObject({ allowed_ports: null, description: '' })
    expect(set({ allowed_ports: [80, 443, 80] })).toMatchObject({ allowed_ports: [80, 443] })
    expect(set({ description: 'd' })).toMatchObject({ max_members: 7, allowed_ports: [80, 443] })
    expect(set({ max_members: 10_001 })).toEqual(
      refused('invalid max_members (must be integer 0-10000)'),
    )
    for (const ports of [[0], [1.5], ['80'], 'x'])
      expect(set({ allowed_ports: ports })).toEqual(
        refused('invalid port number in allowed_ports (must be integer 1-65535)'),
      )
    expect(set({ description: 'x'.repeat(257) })).toEqual(refused())
  })

  it('are documents, as object or text', () => {
    const { owner } = scene()
    const rules = [{ name: 'x', on: 'connect', match: 'true', actions: [{ type: 'allow' }] }]
    const policy = { version: 1, rules }
    for (const given of [policy, JSON.stringify(policy)]) {
      expect(ask(owner, (r) => r.setExprPolicy(1, given))).toEqual({
        type: 'set_expr_policy_ok',
        network_id: 1,
      })
      expect(ask(owner, (r) => r.exprPolicy(1))).toMatchObject({ expr_policy: policy })
    }
    expect(ask(owner, (r) => r.setExprPolicy(1, { version: 1 }))).toEqual(
      refused('expr_policy: at least one rule is required'),
    )
    expect(ask(owner, (r) => r.setExprPolicy(1, 'null'))).toMatchObject({ cleared: true })
    expect(ask(owner, (r) => r.exprPolicy(1))).not.toHaveProperty('expr_policy')
  })
})

describe('keys', () => {
  it('expire, with a warning a day before, and come back only by an admin', () => {
    const { bench, owner, a } = scene()
    const inSeconds = (seconds: number): string =>
      new Date((START_SECONDS + seconds) * 1000).toISOString()
    expect(ask(a, (r) => r.setKeyExpiry(inSeconds(60)))).toEqual(
      refused('enterprise feature: key expiry requires enterprise network membership'),
    )
    expect(ask(owner, (r) => r.setKeyExpiry(inSeconds(-60)))).toEqual(refused())
    expect(ask(owner, (r) => r.setKeyExpiry(inSeconds(4e8)))).toEqual(
      refused('invalid expires_at: cannot exceed 10 years'),
    )
    expect(ask(owner, (r) => r.setKeyExpiry(inSeconds(60))).type).toBe('set_key_expiry_ok')
    expect(owner.heartbeat()).toMatchObject({ key_expiry_warning: true })
    bench.at += 60_000
    expect(owner.heartbeat()).toEqual(refused('node 1: key expired at 2027-01-15T08:01:00Z'))
    expect(owner.toward('resolve', a)).toEqual(refused())
    expect(ask(owner, (r) => r.setKeyExpiry('never'))).toEqual(refused())
    const fresh = ask(owner, (r) => r.rotateKey(a.identity.publicKey))
    expect(fresh).toEqual(refused())
    expect(
      a.connection.send({
        type: 'set_key_expiry',
        node_id: owner.id,
        expires_at: 'never',
        admin_token: ADMIN,
      }),
    ).toEqual({ type: 'set_key_expiry_ok', node_id: owner.id })
    expect(owner.heartbeat().type).toBe('heartbeat_ok')
  })

  it('know their age', () => {
    const { bench, a } = scene()
    bench.at += 3 * 86_400_000
    expect(ask(a, (r) => r.keyInfo(a.id))).toEqual({
      type: 'get_key_info_ok',
      node_id: a.id,
      created_at: '2027-01-15T08:00:00Z',
      rotate_count: 0,
      key_age_days: 3,
    })
  })
})

describe('the audit log', () => {
  it('says what happened, newest first, to the admin', () => {
    const { owner, a } = scene()
    ask(a, (r) => r.joinNetwork(1))
    a.signed('set_hostname', { hostname: 'alice' })
    const log = (fields: RegistryMessage): RegistryMessage =>
      owner.connection.send({ type: 'get_audit_log', ...fields })
    expect(log({})).toEqual(refused('invalid admin token'))
    expect(log({ admin_token: ADMIN, limit: 2 }).entries).toEqual([
      {
        timestamp: '2027-01-15T08:00:00Z',
        action: 'hostname.changed',
        node_id: a.id,
        details: 'hostname=alice',
      },
      { timestamp: '2027-01-15T08:00:00Z', action: 'network.joined', node_id: a.id, network_id: 1 },
    ])
    expect(log({ admin_token: ADMIN, network_id: 1 }).entries).toHaveLength(2)
  })

  it('does not lose what concerns networks to what any node can cause', () => {
    const log = new AuditLog(new MemoryStore(), true, new AuditExports(new MemoryStore()))
    log.add('network.created', 1, { network: 1 })
    for (let i = 0; i < 3000; i++) log.add('visibility.changed', 2, { node: 1 })
    expect(log.newest(3000, 0)).toHaveLength(1001)
    expect(log.newest(3000, 1)).toHaveLength(1)
  })
})

describe('a blueprint', () => {
  const provision = (node: BenchNode, blueprint: unknown): RegistryMessage =>
    node.connection.send({ type: 'provision_network', admin_token: ADMIN, blueprint })

  it('makes a network, and brings it up to date the next time', () => {
    const { a } = scene()
    const blueprint = {
      name: 'bp1',
      join_rule: 'token',
      join_token: 'tok',
      enterprise: true,
      policy: { max_members: 3 },
      network_admin_token: 'own',
    }
    expect(provision(a, blueprint)).toEqual({
      type: 'provision_network_ok',
      network_id: 2,
      name: 'bp1',
      created: true,
      actions: ['created network 2 (bp1)', 'applied network policy'],
    })
    expect(ask(a, (r) => r.joinNetwork(2, 'tok')).type).toBe('join_network_ok')
    const again = provision(a, JSON.stringify({ ...blueprint, policy: { description: 'd' } }))
    expect(again).toMatchObject({ network_id: 2, created: false })
    expect(ask(a, (r) => r.networkPolicy(2))).toMatchObject({ max_members: 3, description: 'd' })
    expect(a.connection.send({ type: 'get_provision_status', admin_token: ADMIN })).toMatchObject({
      networks: [{ network_id: 1 }, { network_id: 2, name: 'bp1', members: 1 }],
    })
  })

  it.each<[unknown, RegExp]>([
    [undefined, /blueprint: required/],
    [{ name: 'Bad' }, /network name/],
    [{ name: 'x', join_rule: 'token' }, /token required/],
    [{ name: 'x', policy: { max_members: -1 } }, /max_members/],
    [{ name: 'x', expr_policy: { version: 2 } }, /expr_policy/],
    [{ name: 'x', roles: [{ external_id: 'a', role: 'admin' }] }, /roles is not available/],
    [{ name: 'x', audit_export: { format: 'json' } }, /audit_export is not available/],
  ])('%j is refused and changes nothing', (blueprint, reason) => {
    const { a, bench } = scene()
    expect(provision(a, blueprint)).toEqual(refused(expect.stringMatching(reason)))
    expect(bench.registry.desk.networks.size).toBe(1)
    expect(bench.registry.desk.networks.nextId).toBe(2)
  })
})

it('takes the admin token in place of a signature where v1.9 does, and no wrong one', () => {
  const { a, b } = scene()
  const asked: RegistryMessage[] = [
    { type: 'set_hostname', hostname: 'named' },
    { type: 'set_visibility', public: true },
    { type: 'set_tags', tags: ['x'] },
    { type: 'set_task_exec', enabled: true },
    { type: 'deregister' },
  ]
  for (const message of asked) {
    const unsigned = { ...message, node_id: a.id }
    expect(b.connection.send(unsigned).type, message.type as string).toBe('error')
    expect(b.connection.send({ ...unsigned, admin_token: 'bad' })).toEqual(
      refused('invalid admin token'),
    )
    expect(b.connection.send({ ...unsigned, admin_token: ADMIN }).type).toBe(`${message.type}_ok`)
  }
})
