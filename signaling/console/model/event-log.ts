/** What happened to this node, newest last. */
import { type Signal, signal } from '@preact/signals'

export interface LogEntry {
  readonly id: number
  /** Unix ms. */
  readonly at: number
  /** The peer it is about; its name is looked up when shown. */
  readonly nodeId?: number | undefined
  readonly text: string
}

const ENTRIES_MAX = 300

export class EventLog {
  readonly entries: Signal<readonly LogEntry[]> = signal([])
  #lastId = 0

  add(text: string, nodeId?: number): void {
    const entry: LogEntry = { id: ++this.#lastId, at: Date.now(), nodeId, text }
    this.entries.value = [...this.entries.value.slice(1 - ENTRIES_MAX), entry]
  }
}
