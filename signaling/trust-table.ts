/**
 * Trust pairs, and beside them directed consent (spec/04 §22 W7): a pair alone, which either side can make,
 * does not open the other side's endpoint; that side must have shown that it wants this peer.
 */
import { CONSENTS_MAX, RESOLVE_CONSENTS_MAX } from './limits.ts'
import type { ConsentKind, RegistryStore, StoredConsent } from './registry-store.ts'

interface Consents {
  /** Receivers by kind, oldest first. */
  readonly asked: Set<number>
  readonly resolved: Set<number>
}

export class TrustTable {
  readonly #store: RegistryStore
  readonly #peers = new Map<number, Set<number>>()
  readonly #consents = new Map<number, Consents>()
  #pairs = 0

  constructor(store: RegistryStore) {
    this.#store = store
  }

  load(pairs: Iterable<readonly [number, number]>, consents: Iterable<StoredConsent>): void {
    for (const [a, b] of pairs) this.#link(a, b)
    for (const { giver, receiver, kind } of consents) this.#of(giver)[kind].add(receiver)
  }

  get pairCount(): number {
    return this.#pairs
  }

  hasPair(a: number, b: number): boolean {
    return this.#peers.get(a)?.has(b) === true
  }

  /** Nodes paired with this one. */
  peers(id: number): ReadonlySet<number> {
    return this.#peers.get(id) ?? NONE
  }

  /** Every pair once, lower id first. */
  *pairs(): IterableIterator<readonly [number, number]> {
    for (const [id, peers] of this.#peers)
      for (const peer of peers) if (id <= peer) yield [id, peer]
  }

  *consents(): IterableIterator<StoredConsent> {
    for (const [giver, consents] of this.#consents)
      for (const kind of ['asked', 'resolved'] as const)
        for (const receiver of consents[kind]) yield { giver, receiver, kind }
  }

  /** Makes the pair; each side can. */
  addPair(a: number, b: number): void {
    if (!this.#link(a, b)) return
    this.#store.savePair(Math.min(a, b), Math.max(a, b))
  }

  /** False when there is no such pair. */
  removePair(a: number, b: number): boolean {
    if (!this.hasPair(a, b)) return false
    this.#unlink(a, b)
    this.#unlink(b, a)
    this.#pairs--
    this.#store.deletePair(Math.min(a, b), Math.max(a, b))
    return true
  }

  hasConsent(giver: number, receiver: number): boolean {
    const consents = this.#consents.get(giver)
    return consents?.asked.has(receiver) === true || consents?.resolved.has(receiver) === true
  }

  /** True when `giver` may consent to one more node by asking. */
  hasRoom(giver: number, receiver: number): boolean {
    const asked = this.#consents.get(giver)?.asked
    return asked === undefined || asked.size < CONSENTS_MAX || asked.has(receiver)
  }

  addConsent(giver: number, receiver: number, kind: ConsentKind): void {
    const consents = this.#of(giver)
    if (consents.asked.has(receiver)) return
    if (kind === 'asked') consents.resolved.delete(receiver)
    else {
      if (consents.resolved.has(receiver)) return
      if (consents.resolved.size >= RESOLVE_CONSENTS_MAX)
        this.#forgetOldest(giver, consents.resolved)
    }
    consents[kind].add(receiver)
    this.#store.saveConsent({ giver, receiver, kind })
  }

  removeConsent(giver: number, receiver: number): void {
    const consents = this.#consents.get(giver)
    if (consents === undefined) return
    const had = [consents.asked.delete(receiver), consents.resolved.delete(receiver)]
    if (consents.asked.size + consents.resolved.size === 0) this.#consents.delete(giver)
    if (had.includes(true)) this.#store.deleteConsent(giver, receiver)
  }

  #forgetOldest(giver: number, receivers: Set<number>): void {
    for (const receiver of receivers) {
      receivers.delete(receiver)
      this.#store.deleteConsent(giver, receiver)
      return
    }
  }

  #of(giver: number): Consents {
    let consents = this.#consents.get(giver)
    if (consents === undefined) {
      consents = { asked: new Set(), resolved: new Set() }
      this.#consents.set(giver, consents)
    }
    return consents
  }

  #link(a: number, b: number): boolean {
    if (this.hasPair(a, b)) return false
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const peers = this.#peers.get(one)
      if (peers === undefined) this.#peers.set(one, new Set([other]))
      else peers.add(other)
    }
    this.#pairs++
    return true
  }

  #unlink(a: number, b: number): void {
    const peers = this.#peers.get(a)
    peers?.delete(b)
    if (peers?.size === 0) this.#peers.delete(a)
  }
}

const NONE: ReadonlySet<number> = new Set()
