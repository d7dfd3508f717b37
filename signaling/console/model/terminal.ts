/** A stream to any port of a peer, typed into and looked at. */
import { type Signal, signal } from '@preact/signals'
import { utf8 } from '../../../core/bytes.ts'
import type { PilotConnection, PilotNode } from '../../../runtimes/browser/index.ts'
import { wordsOf } from './plain-words.ts'
import { type Rendering, Transcript, type TranscriptLine } from './transcript.ts'

/** `half-closed`: we write no more, and still read. `ended`: the peer writes no more. */
export type TerminalState = 'idle' | 'connecting' | 'open' | 'half-closed' | 'ended'

/** What was typed and the peer has not taken yet. */
const UNSENT_MAX = 1 << 20

export class Terminal {
  readonly state: Signal<TerminalState> = signal('idle')
  readonly lines: Signal<readonly TranscriptLine[]> = signal([])
  readonly rendering: Signal<Rendering> = signal('auto')
  readonly port: Signal<number> = signal(7)
  readonly #node: PilotNode
  readonly #nodeId: number
  #transcript = new Transcript()
  #connection: PilotConnection | undefined
  #dialing: AbortController | undefined
  #unsent: Uint8Array[] = []
  #unsentBytes = 0
  #isClosing = false
  #hasPeerEnded = false

  constructor(node: PilotNode, nodeId: number) {
    this.#node = node
    this.#nodeId = nodeId
  }

  async connect(port: number): Promise<void> {
    if (this.state.value !== 'idle') return
    this.port.value = port
    this.state.value = 'connecting'
    this.#dialing = new AbortController()
    try {
      const connection = await this.#node.dial(
        { address: { network: 0, node: this.#nodeId }, port },
        { signal: this.#dialing.signal },
      )
      this.#adopt(connection)
      this.#note(`connected to port ${port}`)
    } catch (error) {
      this.state.value = 'idle'
      this.#note(`not connected to port ${port}: ${wordsOf(error)}`)
    }
  }

  /** Sends a line, its end included. Returns why not, when it cannot be taken. */
  send(line: string): string | undefined {
    if (this.state.value !== 'open' && this.state.value !== 'ended') return 'Not connected.'
    const bytes = utf8(`${line}\n`)
    if (this.#unsentBytes + bytes.length > UNSENT_MAX)
      return 'The peer does not read: 1 MiB waits for it already.'
    this.#unsent.push(bytes)
    this.#unsentBytes += bytes.length
    this.#show(() => this.#transcript.push('out', bytes, this.rendering.value))
    this.#flush()
    return undefined
  }

  /** No more from us; what the peer still says is shown. */
  closeOurSide(): void {
    this.#isClosing = true
    this.#flush()
    if (this.state.value === 'open') this.state.value = 'half-closed'
    this.#note('our side is closed')
  }

  /** Ends it at once, also while connecting. */
  drop(): void {
    this.#dialing?.abort()
    this.#connection?.reset()
  }

  clear(): void {
    this.#show(() => {
      this.#transcript = new Transcript()
    })
  }

  #adopt(connection: PilotConnection): void {
    this.#connection = connection
    this.#unsent = []
    this.#unsentBytes = 0
    this.#isClosing = false
    this.#hasPeerEnded = false
    this.state.value = 'open'
    connection.onreadable = () => this.#read(connection)
    connection.onwritable = () => this.#flush()
    connection.closed.then(
      () => this.#ended('connection closed'),
      (error: unknown) => this.#ended(`connection lost: ${wordsOf(error)}`),
    )
    this.#read(connection)
  }

  #read(connection: PilotConnection): void {
    this.#show(() => {
      for (let chunk = connection.read(); chunk !== undefined; chunk = connection.read())
        this.#transcript.push('in', chunk, this.rendering.value)
    })
    if (!connection.ended || this.#hasPeerEnded) return
    this.#hasPeerEnded = true
    this.#note('the peer closed its side')
    // Both sides: what follows is the end.
    if (this.state.value === 'open') this.state.value = 'ended'
  }

  #flush(): void {
    const connection = this.#connection
    if (connection === undefined) return
    for (let bytes = this.#unsent[0]; bytes !== undefined; bytes = this.#unsent[0]) {
      const taken = connection.write(bytes)
      this.#unsentBytes -= taken
      if (taken < bytes.length) {
        this.#unsent[0] = bytes.subarray(taken)
        return
      }
      this.#unsent.shift()
    }
    if (this.#isClosing) connection.close()
  }

  #ended(why: string): void {
    this.#connection = undefined
    this.state.value = 'idle'
    this.#note(why)
  }

  #note(text: string): void {
    this.#show(() => this.#transcript.note(text))
  }

  #show(change: () => void): void {
    change()
    this.lines.value = this.#transcript.lines
  }
}
