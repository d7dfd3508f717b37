/** Everything that lives as long as the node is in the overlay. */
import { type Signal, signal } from '@preact/signals'
import type { NodeEvent, PilotNode } from '../../../runtimes/browser/index.ts'
import { Bench } from './bench.ts'
import { Chat } from './chat.ts'
import { addressOf } from './contact.ts'
import type { Database } from './database.ts'
import { EventLog } from './event-log.ts'
import { displayLine } from './format.ts'
import { type Notice, notify, settle } from './notices.ts'
import { OutgoingFile } from './outgoing-file.ts'
import { formatView } from './place.ts'
import { ReceivedFiles } from './received-files.ts'
import { Roster } from './roster.ts'
import { startServices } from './services.ts'
import { Tabs } from './tabs.ts'
import { Terminal } from './terminal.ts'
import { Traffic } from './traffic.ts'
import { TransferList } from './transfer-list.ts'

/** `replaced`: the same identity joined from elsewhere, which has the connection now. */
export type Link = 'online' | 'reconnecting' | 'replaced'

/** Longest reason for a request for trust, in characters. */
export const JUSTIFICATION_MAX = 280

const SERVE_AGAIN_MS = 300

export class Joined {
  readonly node: PilotNode
  readonly address: string
  readonly link: Signal<Link> = signal('online')
  readonly log: EventLog = new EventLog()
  readonly roster: Roster
  readonly traffic: Traffic
  readonly chat: Chat
  readonly transfers: TransferList = new TransferList()
  readonly files: ReceivedFiles
  readonly #terminals = new Map<number, Terminal>()
  readonly #benches = new Map<number, Bench>()
  readonly #tabs = new Tabs()
  readonly #unsubscribe: () => void
  #isClosed = false

  constructor(node: PilotNode, rendezvous: string, database: Database) {
    this.node = node
    this.address = addressOf(node.nodeId)
    const prefix = `${rendezvous} ${node.nodeId} `
    this.roster = new Roster(node, this.log)
    this.traffic = new Traffic(node)
    this.chat = new Chat(node, database, this.#tabs, prefix)
    this.files = new ReceivedFiles(database, this.#tabs, prefix)
    this.#unsubscribe = node.on((event) => this.#handleEvent(event))
    this.roster.onrefresh = () => this.traffic.sample(this.roster.contacts.value)
    const { chat } = this
    chat.onmessage = (id) => this.#handleMessage(id)
    this.#tabs.serve(() => this.#serve())
    this.log.add(`joined as ${this.address}`)
    if (!database.isLasting)
      notify('bad', 'This browser stores nothing for the page: conversations and files go with it.')
  }

  terminal(nodeId: number): Terminal {
    return kept(this.#terminals, nodeId, () => new Terminal(this.node, nodeId))
  }

  bench(nodeId: number): Bench {
    return kept(this.#benches, nodeId, () => new Bench(this.node, nodeId))
  }

  sendFile(nodeId: number, file: File): void {
    new OutgoingFile(this.node, nodeId, file, this.transfers)
  }

  /** Node id of an address, number or hostname. @throws {PilotError} as `PilotNode.resolve`. */
  async find(target: string): Promise<number> {
    const { node } = await this.node.resolve(target.trim())
    if (!/[:]|^\d+$/.test(target)) this.roster.learn(node, target.trim())
    return node
  }

  /** Asks a node for trust. Returns what became of it, in words. @throws {PilotError} */
  async ask(nodeId: number, justification: string): Promise<string> {
    const outcome = await this.node.trust.request(nodeId, justification.slice(0, JUSTIFICATION_MAX))
    this.roster.refresh()
    const name = this.roster.name(nodeId)
    const words = {
      sent: `The request was sent to ${name}. It has to approve.`,
      relayed: `The request waits for ${name} at the rendezvous. It has to approve.`,
      already_trusted: `${name} and this node trust each other already.`,
    }
    this.log.add(outcome === 'already_trusted' ? 'trusted already' : 'asked for trust', nodeId)
    return words[outcome]
  }

  async approve(nodeId: number): Promise<void> {
    settle(`trust ${nodeId}`)
    await this.node.trust.approve(nodeId)
    this.log.add('approved', nodeId)
    this.roster.refresh()
  }

  async reject(nodeId: number): Promise<void> {
    settle(`trust ${nodeId}`)
    await this.node.trust.reject(nodeId, 'declined')
    this.log.add('request declined', nodeId)
    this.roster.refresh()
  }

  async revoke(nodeId: number): Promise<void> {
    await this.node.trust.revoke(nodeId)
    this.log.add('trust ended by us', nodeId)
    this.roster.refresh()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#unsubscribe()
    this.#tabs.close()
    this.transfers.cancelAll()
    this.chat.close()
    for (const terminal of this.#terminals.values()) terminal.drop()
    for (const bench of this.#benches.values()) bench.cancel()
    this.roster.close()
    await this.node.close()
  }

  /** The ports of a tab that just went are free a moment later. */
  #serve(): void {
    const { node, chat, transfers, files } = this
    if (this.#isClosed) return
    try {
      startServices({
        node,
        chat,
        transfers,
        files,
        onfile: (id, name) => this.#handleFile(id, name),
      })
    } catch {
      setTimeout(() => this.#serve(), SERVE_AGAIN_MS)
    }
  }

  #handleEvent(event: NodeEvent): void {
    this.roster.handleEvent(event)
    switch (event.type) {
      case 'relay-connected':
        if (this.link.value !== 'online') this.log.add('connected to the rendezvous again')
        this.link.value = 'online'
        return
      case 'relay-lost':
      case 'registry-lost':
        if (this.link.value === 'online')
          this.log.add(`rendezvous lost: ${displayLine(event.reason)}`)
        if (event.type === 'relay-lost') this.link.value = 'reconnecting'
        return
      case 'relay-replaced':
        this.link.value = 'replaced'
        return this.log.add('the same identity joined from elsewhere')
      case 'leader-changed':
        return this.log.add(
          event.isLeader ? 'this tab runs the node now' : 'another tab runs the node now',
        )
      case 'hostname-refused':
        return notify('bad', `The rendezvous took the hostname away: ${displayLine(event.reason)}`)
      case 'trust-request':
        this.log.add('asks for trust', event.nodeId)
        return this.#tell('news', event.nodeId, 'asks for trust.', {
          href: '#home',
          isListed: true,
        })
      case 'trust-established':
        this.log.add('mutual trust', event.nodeId)
        return this.#tell('good', event.nodeId, 'and this node trust each other.', {
          href: chatOf(event.nodeId),
        })
      case 'trust-rejected':
        this.log.add(`declined our request: ${displayLine(event.reason)}`, event.nodeId)
        return this.#tell('bad', event.nodeId, 'declined the request.')
      case 'trust-revoked':
        this.log.add('ended the trust', event.nodeId)
        return this.#tell('bad', event.nodeId, 'has ended the trust.')
      case 'peer-key-mismatch':
        this.log.add('showed another key than the known one', event.nodeId)
        return this.#tell('bad', event.nodeId, 'showed a wrong key and is kept out.')
      case 'peer-key-rotated':
        this.log.add('changed its key, signed with the former one', event.nodeId)
        return
    }
  }

  /** News of a peer, by the name the registry has for it. */
  #tell(
    kind: Notice['kind'],
    nodeId: number,
    what: string,
    more: Pick<Notice, 'href' | 'isListed'> = {},
  ): void {
    const topic = `trust ${nodeId}`
    void this.roster
      .askedName(nodeId)
      .then((name) => notify(kind, `${name} ${what}`, { ...more, topic }))
  }

  #handleMessage(nodeId: number): void {
    if (this.roster.selected.value !== nodeId)
      notify('news', `Message from ${this.roster.name(nodeId)}`, {
        href: chatOf(nodeId),
        topic: `message ${nodeId}`,
      })
  }

  #handleFile(nodeId: number, name: string): void {
    this.log.add(`sent a file: ${displayLine(name, 80)}`, nodeId)
    notify('good', `File from ${this.roster.name(nodeId)}: ${displayLine(name, 60)}`, {
      href: formatView({ name: 'peer', nodeId, tab: 'files' }),
    })
  }
}

function chatOf(nodeId: number): string {
  return formatView({ name: 'peer', nodeId, tab: 'chat' })
}

function kept<T>(map: Map<number, T>, nodeId: number, make: () => T): T {
  const found = map.get(nodeId) ?? make()
  map.set(nodeId, found)
  return found
}
