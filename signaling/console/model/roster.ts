/** Who is around: trusted nodes, requests both ways, and strangers that are looked at. */
import { type Signal, signal } from '@preact/signals'
import type { NodeEvent, PeerInfo, PilotNode } from '../../../runtimes/browser/index.ts'
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
/** Names remembered; strangers can send requests under any number of ids. */
const NAMES_MAX = 1000

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
    return this.contacts.value.find((one) => one.nodeId === nodeId) ?? this.#contact(nodeId)
  }

  /** What to call a node. */
  name(nodeId: number): string {
    return nameOf(this.get(nodeId))
  }

  /** What to call a node, after the registry was asked where that is not known. */
  async askedName(nodeId: number): Promise<string> {
    if ((this.#names.get(nodeId)?.hostname ?? '') === '')
      await this.#node.registry.lookup(nodeId).then(
        ({ hostname }) => this.learn(nodeId, typeof hostname === 'string' ? hostname : ''),
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
    const { trust } = this.#node
    const ids = new Set([
      ...trust.pending().map((one) => one.nodeId),
      ...trust.trusted().map((one) => one.nodeId),
      ...trust.outgoing().map((one) => one.nodeId),
      ...(this.selected.value === undefined ? [] : [this.selected.value]),
    ])
    const peers = new Map(this.#node.peers().map((peer) => [peer.nodeId, peer]))
    const contacts = [...ids].map((id) => this.#contact(id, peers.get(id)))
    this.contacts.value = contacts.sort(
      (a, b) => nameOf(a).localeCompare(nameOf(b)) || a.nodeId - b.nodeId,
    )
    for (const contact of contacts) {
      this.#logPath(contact)
      this.#askName(contact.nodeId)
    }
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

  #contact(nodeId: number, peer?: PeerInfo): Contact {
    const { trust } = this.#node
    const trusted = trust.trusted().find((one) => one.nodeId === nodeId)
    const pending = trust.pending().find((one) => one.nodeId === nodeId)
    const outgoing = trust.outgoing().find((one) => one.nodeId === nodeId)
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

  #askName(nodeId: number): void {
    const known = this.#names.get(nodeId)
    if (known !== undefined && Date.now() - known.at < NAME_LIFETIME_MS) return
    // Marked at once, so that one question is on its way.
    this.#remember(nodeId, known?.hostname ?? '')
    this.#node.registry.lookup(nodeId).then(
      ({ hostname }) => this.#remember(nodeId, typeof hostname === 'string' ? hostname : ''),
      () => {}, // asked again later
    )
  }

  #remember(nodeId: number, hostname: string): void {
    if (this.#names.size >= NAMES_MAX && !this.#names.has(nodeId)) {
      const oldest = this.#names.keys().next().value
      if (oldest !== undefined) this.#names.delete(oldest)
    }
    this.#names.set(nodeId, { hostname: hostname.slice(0, 63), at: Date.now() })
  }
}
