/** Who is around: trusted nodes, requests both ways, and strangers that are looked at. */
import { type Signal, signal } from '@preact/signals'
import type {
  NodeEvent,
  OutgoingPeer,
  PeerInfo,
  PendingPeer,
  PilotNode,
  RegistryReply,
  TrustedPeer,
} from '../../../runtimes/browser/index.ts'
import {
  addressOf,
  type Contact,
  nameOf,
  type Presence,
  pathWords,
  type Relation,
} from './contact.ts'
import type { EventLog } from './event-log.ts'
import { displayLine } from './format.ts'
import { Pinger } from './pinger.ts'

const REFRESH_MS = 1000
/** A name is asked for again after this: nodes are renamed. */
const NAME_LIFETIME_MS = 60_000
/** Questions per refresh. */
const LOOKUPS_MAX = 5
/** Names remembered; strangers can send requests under any number of ids. */
const NAMES_MAX = 1000

/** What the node knows, by node id. */
interface Known {
  readonly trusted: ReadonlyMap<number, TrustedPeer>
  readonly pending: ReadonlyMap<number, PendingPeer>
  readonly outgoing: ReadonlyMap<number, OutgoingPeer>
  readonly peers: ReadonlyMap<number, PeerInfo>
}

export class Roster {
  readonly contacts: Signal<readonly Contact[]> = signal([])
  /** The node whose page is open: pinged often, and listed even as a stranger. */
  readonly selected: Signal<number | undefined> = signal(undefined)
  /** Called about once a second, after a refresh. */
  onrefresh: (() => void) | undefined
  readonly #node: PilotNode
  readonly #log: EventLog
  readonly #pinger: Pinger
  readonly #names = new Map<number, { readonly hostname: string; readonly at: number }>()
  readonly #paths = new Map<number, string>()
  readonly #timer: ReturnType<typeof setInterval>

  constructor(node: PilotNode, log: EventLog) {
    this.#node = node
    this.#log = log
    this.#pinger = new Pinger(node)
    this.#timer = setInterval(() => this.refresh(), REFRESH_MS)
    this.refresh()
  }

  get(nodeId: number): Contact {
    return (
      this.contacts.value.find((one) => one.nodeId === nodeId) ??
      this.#contact(nodeId, this.#known())
    )
  }

  /** What to call a node. */
  name(nodeId: number): string {
    return nameOf(this.get(nodeId))
  }

  /** What to call a node, after the registry was asked where that is not known. */
  async askedName(nodeId: number): Promise<string> {
    if ((this.#names.get(nodeId)?.hostname ?? '') === '')
      await this.#node.registry.lookup(nodeId).then(
        (reply) => this.learn(nodeId, hostnameOf(reply)),
        () => {}, // its number will do
      )
    return this.name(nodeId)
  }

  /** A name that was just resolved need not be asked for. */
  learn(nodeId: number, hostname: string): void {
    this.#remember(nodeId, hostname)
    this.refresh()
  }

  /** Takes what the node knows now. */
  refresh(): void {
    const known = this.#known()
    const selected = this.selected.value
    const ids = new Set([
      ...known.pending.keys(),
      ...known.trusted.keys(),
      ...known.outgoing.keys(),
    ])
    if (selected !== undefined) ids.add(selected)
    const contacts = [...ids].map((id) => this.#contact(id, known))
    this.contacts.value = contacts.sort(
      (a, b) => nameOf(a).localeCompare(nameOf(b)) || a.nodeId - b.nodeId,
    )
    for (const contact of contacts) this.#logPath(contact)
    for (const id of this.#paths.keys()) if (!ids.has(id)) this.#paths.delete(id)
    this.#askNames(contacts)
    this.#pinger.tick(contacts, this.selected.value)
    this.onrefresh?.()
  }

  handleEvent(event: NodeEvent): void {
    if ('nodeId' in event) this.refresh()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#pinger.close()
  }

  #known(): Known {
    const { trust } = this.#node
    return {
      trusted: byNode(trust.trusted()),
      pending: byNode(trust.pending()),
      outgoing: byNode(trust.outgoing()),
      peers: byNode(this.#node.peers()),
    }
  }

  #contact(nodeId: number, known: Known): Contact {
    const trusted = known.trusted.get(nodeId)
    const pending = known.pending.get(nodeId)
    const outgoing = known.outgoing.get(nodeId)
    const peer = known.peers.get(nodeId)
    const relation: Relation = trusted
      ? 'trusted'
      : pending
        ? 'asks'
        : outgoing
          ? 'asked'
          : 'stranger'
    const since = trusted?.approvedAt ?? pending?.receivedAt ?? outgoing?.sentAt ?? 0
    const presence: Presence = this.#pinger.presence(nodeId)
    return {
      nodeId,
      address: addressOf(nodeId),
      hostname: this.#names.get(nodeId)?.hostname ?? '',
      relation,
      justification: displayLine(pending?.justification ?? '', 500),
      since: since * 1000,
      presence,
      rttMs: this.#pinger.rttMs(nodeId) ?? peer?.rttMs,
      peer,
    }
  }

  #logPath({ nodeId, peer }: Contact): void {
    const now = pathWords(peer)
    const before = this.#paths.get(nodeId)
    this.#paths.set(nodeId, now)
    if (before === undefined ? peer !== undefined : before !== now)
      this.#log.add(before === undefined ? `path: ${now}` : `path: ${before} → ${now}`, nodeId)
  }

  #askNames(contacts: readonly Contact[]): void {
    const now = Date.now()
    const due = contacts.filter(
      ({ nodeId }) => now - (this.#names.get(nodeId)?.at ?? 0) >= NAME_LIFETIME_MS,
    )
    for (const { nodeId, hostname } of due.slice(0, LOOKUPS_MAX)) {
      // Marked at once, so that one question is on its way.
      this.#remember(nodeId, hostname)
      this.#node.registry.lookup(nodeId).then(
        (reply) => this.#remember(nodeId, hostnameOf(reply)),
        () => {}, // asked again later
      )
    }
  }

  #remember(nodeId: number, hostname: string): void {
    if (this.#names.size >= NAMES_MAX && !this.#names.has(nodeId)) {
      const oldest = this.#names.keys().next().value
      if (oldest !== undefined) this.#names.delete(oldest)
    }
    this.#names.set(nodeId, { hostname: hostname.slice(0, 63), at: Date.now() })
  }
}

function byNode<T extends { readonly nodeId: number }>(all: readonly T[]): ReadonlyMap<number, T> {
  return new Map(all.map((one) => [one.nodeId, one]))
}

/** `''` for none. */
function hostnameOf({ hostname }: RegistryReply): string {
  return typeof hostname === 'string' ? hostname : ''
}
