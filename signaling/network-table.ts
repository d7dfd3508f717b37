/**
 * Custom networks, their members and invites (spec/05 §12, §13), with the index by node. Every change goes
 * through here, so that index, memory and store agree; who may do what is decided elsewhere.
 */
import { DEPARTED_SECONDS, INVITE_LIFETIME_SECONDS } from './limits.ts'
import type {
  MemberRole,
  RegistryStore,
  StoredInvite,
  StoredMember,
  StoredNetwork,
} from './registry-store.ts'

export interface NetworkState {
  readonly nextNetworkId: number
  readonly networks: Iterable<StoredNetwork>
  readonly members: Iterable<StoredMember>
  readonly invites: Iterable<StoredInvite>
}

export class NetworkTable {
  readonly #store: RegistryStore
  readonly #networks = new Map<number, StoredNetwork>()
  readonly #byName = new Map<string, number>()
  /** By network, then node, in the order of joining. */
  readonly #members = new Map<number, Map<number, StoredMember>>()
  /** How many of them have not deregistered. */
  readonly #present = new Map<number, number>()
  readonly #byNode = new Map<number, Set<number>>()
  /** By invited node, then network. */
  readonly #invites = new Map<number, Map<number, StoredInvite>>()
  #nextId = 1

  constructor(store: RegistryStore) {
    this.#store = store
  }

  load({ nextNetworkId, networks, members, invites }: NetworkState): void {
    this.#nextId = nextNetworkId
    for (const network of networks) this.#index(network)
    for (const member of members) this.#indexMember(member)
    for (const invite of invites) this.#invitesOf(invite.target).set(invite.network, invite)
  }

  get size(): number {
    return this.#networks.size
  }

  get nextId(): number {
    return this.#nextId
  }

  get(id: number): StoredNetwork | undefined {
    return this.#networks.get(id)
  }

  byName(name: string): StoredNetwork | undefined {
    const id = this.#byName.get(name)
    return id === undefined ? undefined : this.#networks.get(id)
  }

  all(): Iterable<StoredNetwork> {
    return this.#networks.values()
  }

  /** A new network without members, or `undefined` when the ids are used up: none is given away twice. */
  create(network: Omit<StoredNetwork, 'id'>): StoredNetwork | undefined {
    if (this.#nextId > 0xffff) return undefined
    const created: StoredNetwork = { ...network, id: this.#nextId++ }
    this.#store.saveNextNetworkId(this.#nextId)
    return this.#put(created)
  }

  /** With the id it has, for a snapshot; the counter passes it. */
  restore(network: StoredNetwork): void {
    if (network.id >= this.#nextId) this.skipTo(network.id + 1)
    this.#put(network)
  }

  skipTo(nextId: number): void {
    this.#nextId = Math.max(this.#nextId, nextId)
    this.#store.saveNextNetworkId(this.#nextId)
  }

  change(network: StoredNetwork, changes: Partial<Omit<StoredNetwork, 'id'>>): StoredNetwork {
    return this.#put({ ...network, ...changes })
  }

  delete({ id, name }: StoredNetwork): void {
    for (const node of [...(this.#members.get(id)?.keys() ?? [])]) this.removeMember(id, node)
    for (const invites of [...this.#invites.values()]) {
      const invite = invites.get(id)
      if (invite !== undefined) this.removeInvite(id, invite.target)
    }
    this.#networks.delete(id)
    this.#byName.delete(name)
    this.#members.delete(id)
    this.#present.delete(id)
    this.#store.deleteNetwork(id)
  }

  /** Members of all networks, those that deregistered too. */
  *memberships(): IterableIterator<StoredMember> {
    for (const members of this.#members.values()) yield* members.values()
  }

  *invites(): IterableIterator<StoredInvite> {
    for (const invites of this.#invites.values()) yield* invites.values()
  }

  /** Members that have not deregistered, in the order of joining. */
  *members(network: number): IterableIterator<StoredMember> {
    for (const member of this.#members.get(network)?.values() ?? [])
      if (member.departedAt === 0) yield member
  }

  memberCount(network: number): number {
    return this.#present.get(network) ?? 0
  }

  /** Only while it has not deregistered. */
  member(network: number, node: number): StoredMember | undefined {
    const member = this.#members.get(network)?.get(node)
    return member?.departedAt === 0 ? member : undefined
  }

  owner(network: number): StoredMember | undefined {
    for (const member of this.members(network)) if (member.role === 'owner') return member
    return undefined
  }

  /** Custom networks of a node, lowest first. */
  ofNode(node: number): readonly number[] {
    const networks: number[] = []
    for (const network of this.#byNode.get(node) ?? [])
      if (this.member(network, node) !== undefined) networks.push(network)
    return networks.sort((a, b) => a - b)
  }

  share(a: number, b: number): boolean {
    const networks = this.#byNode.get(a)
    if (networks === undefined) return false
    for (const network of networks)
      if (this.member(network, a) !== undefined && this.member(network, b) !== undefined)
        return true
    return false
  }

  addMember(network: number, node: number, role: MemberRole): StoredMember {
    return this.putMember({ network, node, role, tags: [], departedAt: 0 })
  }

  changeMember(
    member: StoredMember,
    changes: Partial<Pick<StoredMember, 'role' | 'tags'>>,
  ): StoredMember {
    return this.putMember({ ...member, ...changes })
  }

  putMember(member: StoredMember): StoredMember {
    this.#indexMember(member)
    this.#store.saveMember(member)
    return member
  }

  removeMember(network: number, node: number): void {
    const members = this.#members.get(network)
    this.#count(members?.get(node), -1)
    if (members?.delete(node) !== true) return
    const networks = this.#byNode.get(node)
    networks?.delete(network)
    if (networks?.size === 0) this.#byNode.delete(node)
    this.#store.deleteMember(network, node)
  }

  /** The node deregistered: its memberships wait for it (spec/05 §25.9), invites from and to it go. */
  depart(node: number, unixSeconds: number): void {
    for (const network of this.ofNode(node)) {
      const member = this.member(network, node)
      if (member !== undefined) this.putMember({ ...member, departedAt: unixSeconds })
    }
    this.removeInvitesOf(node)
  }

  /** The node registered again. An owner who was replaced meanwhile comes back as an admin. */
  comeBack(node: number): void {
    for (const network of this.#byNode.get(node) ?? []) {
      const member = this.#members.get(network)?.get(node)
      if (member === undefined || member.departedAt === 0) continue
      const role =
        member.role === 'owner' && this.owner(network) !== undefined ? 'admin' : member.role
      this.putMember({ ...member, role, departedAt: 0 })
    }
  }

  invite(network: number, target: number): StoredInvite | undefined {
    return this.#invites.get(target)?.get(network)
  }

  invitesFor(target: number): readonly StoredInvite[] {
    return [...(this.#invites.get(target)?.values() ?? [])]
  }

  addInvite(invite: StoredInvite): void {
    this.#invitesOf(invite.target).set(invite.network, invite)
    this.#store.saveInvite(invite)
  }

  removeInvite(network: number, target: number): void {
    const invites = this.#invites.get(target)
    if (invites?.delete(network) !== true) return
    if (invites.size === 0) this.#invites.delete(target)
    this.#store.deleteInvite(network, target)
  }

  /** What this node was invited to and whom it invited, in one network or all. */
  removeInvitesOf(node: number, network?: number): void {
    for (const invites of [...this.#invites.values()])
      for (const invite of [...invites.values()])
        if (
          (invite.target === node || invite.inviter === node) &&
          (network === undefined || invite.network === network)
        )
          this.removeInvite(invite.network, invite.target)
  }

  /** Forgets old invites and those who deregistered long ago; gives the networks that lost their owner so. */
  sweep(unixSeconds: number): readonly StoredMember[] {
    for (const invites of [...this.#invites.values()])
      for (const { network, target, unixSeconds: at } of [...invites.values()])
        if (unixSeconds - at >= INVITE_LIFETIME_SECONDS) this.removeInvite(network, target)
    const lost: StoredMember[] = []
    for (const members of this.#members.values())
      for (const member of [...members.values()]) {
        if (member.departedAt === 0 || unixSeconds - member.departedAt < DEPARTED_SECONDS) continue
        this.removeMember(member.network, member.node)
        if (member.role === 'owner' && this.owner(member.network) === undefined) lost.push(member)
      }
    return lost
  }

  #put(network: StoredNetwork): StoredNetwork {
    const before = this.#networks.get(network.id)
    if (before !== undefined) this.#byName.delete(before.name)
    this.#index(network)
    this.#store.saveNetwork(network)
    return network
  }

  #index(network: StoredNetwork): void {
    this.#networks.set(network.id, network)
    this.#byName.set(network.name, network.id)
  }

  #indexMember(member: StoredMember): void {
    let members = this.#members.get(member.network)
    if (members === undefined) {
      members = new Map()
      this.#members.set(member.network, members)
    }
    this.#count(members.get(member.node), -1)
    this.#count(member, 1)
    members.set(member.node, member)
    const networks = this.#byNode.get(member.node)
    if (networks === undefined) this.#byNode.set(member.node, new Set([member.network]))
    else networks.add(member.network)
  }

  #count(member: StoredMember | undefined, change: 1 | -1): void {
    if (member?.departedAt !== 0) return
    this.#present.set(member.network, (this.#present.get(member.network) ?? 0) + change)
  }

  #invitesOf(target: number): Map<number, StoredInvite> {
    let invites = this.#invites.get(target)
    if (invites === undefined) {
      invites = new Map()
      this.#invites.set(target, invites)
    }
    return invites
  }
}
