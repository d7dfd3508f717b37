/** Files on their way in either direction, and those that have arrived, as the page shows them. */
import { type Signal, signal } from '@preact/signals'
import { Progress } from './progress.ts'

/**
 * - `hashing`: read once here, before anything is sent.
 * - `waiting`: for the peer.
 * - `done`: the receiver has a verified copy; `note` says how that is known.
 */
export type TransferState =
  | 'hashing'
  | 'waiting'
  | 'moving'
  | 'verifying'
  | 'done'
  | 'failed'
  | 'cancelled'

export interface Transfer {
  readonly id: string
  readonly nodeId: number
  readonly direction: 'out' | 'in'
  readonly name: string
  readonly size: number
  readonly state: TransferState
  /** Received and stored at the receiver, or hashed. */
  readonly bytes: number
  readonly bytesPerSecond: number
  readonly secondsLeft: number
  /** Hex, `''` while unknown. */
  readonly sha256: string
  /** Why it failed, or what is known of its end. */
  readonly note: string
}

/** Transfers shown; finished ones make room. */
const TRANSFERS_MAX = 50
/** News of one transfer is shown at most so often. */
const NEWS_MS = 100

export function isOver({ state }: Transfer): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled'
}

export class TransferList {
  readonly transfers: Signal<readonly Transfer[]> = signal([])
  readonly #cancels = new Map<string, () => void>()

  /** Starts an entry; `cancel` is what the user's button does. */
  add(
    start: Pick<Transfer, 'nodeId' | 'direction' | 'name' | 'size' | 'state'>,
    cancel: () => void,
  ): TransferEntry {
    const transfer: Transfer = {
      ...start,
      id: crypto.randomUUID(),
      bytes: 0,
      bytesPerSecond: 0,
      secondsLeft: Number.POSITIVE_INFINITY,
      sha256: '',
      note: '',
    }
    const all = [transfer, ...this.transfers.value]
    const oldest = all.length > TRANSFERS_MAX ? all.findLast(isOver) : undefined
    this.transfers.value = all.filter((one) => one !== oldest)
    this.#cancels.set(transfer.id, cancel)
    return new TransferEntry(this, transfer)
  }

  /** Something would be lost with the page. */
  get isBusy(): boolean {
    return this.#cancels.size > 0
  }

  cancel(id: string): void {
    this.#cancels.get(id)?.()
  }

  dismiss(id: number | string): void {
    this.transfers.value = this.transfers.value.filter((one) => one.id !== id || !isOver(one))
  }

  put(transfer: Transfer): void {
    if (isOver(transfer)) this.#cancels.delete(transfer.id)
    this.transfers.value = this.transfers.value.map((one) =>
      one.id === transfer.id ? transfer : one,
    )
  }

  cancelAll(): void {
    for (const cancel of [...this.#cancels.values()]) cancel()
  }
}

/** One entry, as the transfer itself tells of it. */
export class TransferEntry {
  readonly #list: TransferList
  #transfer: Transfer
  #progress: Progress
  #shownAt = Number.NEGATIVE_INFINITY

  constructor(list: TransferList, transfer: Transfer) {
    this.#list = list
    this.#transfer = transfer
    this.#progress = new Progress(transfer.size)
  }

  get isOver(): boolean {
    return isOver(this.#transfer)
  }

  /** A new state; the progress starts over. */
  enter(state: TransferState, changed: Partial<Transfer> = {}): void {
    if (this.isOver) return
    this.#progress = new Progress(this.#transfer.size)
    this.#transfer = { ...this.#transfer, ...changed, state, secondsLeft: Number.POSITIVE_INFINITY }
    this.#list.put(this.#transfer)
  }

  progress(bytes: number): void {
    if (this.isOver) return
    const now = performance.now()
    this.#progress.add(now, bytes)
    if (now - this.#shownAt < NEWS_MS && bytes < this.#transfer.size) return
    this.#shownAt = now
    const { bytesPerSecond, secondsLeft } = this.#progress
    this.#transfer = { ...this.#transfer, bytes, bytesPerSecond, secondsLeft }
    this.#list.put(this.#transfer)
  }
}
