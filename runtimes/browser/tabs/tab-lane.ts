/**
 * A lane between two tabs: a BroadcastChannel that nobody else listens to. Messages are numbered and
 * acknowledged, so that one end notices when the other has stopped taking them (a frozen tab), before
 * everything ever sent to it waits in memory.
 */
import type { Lane } from '../../shared/remote/lane.ts'
import { isCount, isRecord, isText } from '../../shared/remote/remote-message.ts'

/** Messages, and bytes of the buffers in them, that the other end has not acknowledged. */
const UNTAKEN_MAX = 8192
const UNTAKEN_BYTES_MAX = 64 << 20
/** One acknowledgement for so many messages, or after so long. */
const ACK_EVERY = 32
const ACK_MS = 100

export class TabLane implements Lane {
  onclose: ((reason: string) => void) | undefined
  /** When something came last. */
  heardAt: number = performance.now()
  readonly #channel: BroadcastChannel
  #handler: ((message: unknown) => void) | undefined
  /** Messages that came before anybody listened. */
  #early: unknown[] | undefined = []
  #sent = 0
  #taken = 0
  #received = 0
  #acked = 0
  /** Sizes of what is not acknowledged, oldest first. */
  readonly #sizes: number[] = []
  #untakenBytes = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #isOver = false

  constructor(name: string) {
    this.#channel = new BroadcastChannel(name)
    this.#channel.onmessage = ({ data }) => this.#receive(data)
    this.#channel.onmessageerror = () => this.#fail('a message could not be read')
  }

  get onmessage(): ((message: unknown) => void) | undefined {
    return this.#handler
  }

  set onmessage(handler: ((message: unknown) => void) | undefined) {
    this.#handler = handler
    const early = this.#early ?? []
    this.#early = undefined
    for (const message of early) handler?.(message)
  }

  post(message: unknown, transfer: readonly Transferable[] = []): void {
    if (this.#isOver) return
    let bytes = 0
    for (const one of transfer) if (one instanceof ArrayBuffer) bytes += one.byteLength
    if (this.#sizes.length >= UNTAKEN_MAX || this.#untakenBytes + bytes > UNTAKEN_BYTES_MAX)
      return this.#fail('the other tab takes no messages any more')
    this.#channel.postMessage({ number: this.#sent + 1, message }) // throws what cannot be cloned
    this.#sent++
    this.#sizes.push(bytes)
    this.#untakenBytes += bytes
  }

  close(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#channel.postMessage({ over: 'closed' })
    this.#channel.close()
  }

  #receive(data: unknown): void {
    if (this.#isOver || !isRecord(data)) return
    this.heardAt = performance.now()
    if (isCount(data.taken)) this.#handleTaken(data.taken)
    else if (isText(data.over)) this.#end(`the other tab ended it: ${data.over}`)
    else if (data.number !== this.#received + 1) this.#fail('a message is missing')
    else {
      this.#received++
      this.#acknowledge()
      if (this.#early === undefined) this.#handler?.(data.message)
      else this.#early.push(data.message)
    }
  }

  #handleTaken(taken: number): void {
    if (taken > this.#sent) return
    for (; this.#taken < taken; this.#taken++) this.#untakenBytes -= this.#sizes.shift() ?? 0
  }

  #acknowledge(): void {
    if (this.#received - this.#acked >= ACK_EVERY) this.#sayTaken()
    else this.#timer ??= setTimeout(() => this.#sayTaken(), ACK_MS)
  }

  #sayTaken(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#isOver) return
    this.#acked = this.#received
    this.#channel.postMessage({ taken: this.#received })
  }

  #fail(reason: string): void {
    if (this.#isOver) return
    this.#channel.postMessage({ over: reason })
    this.#end(reason)
  }

  #end(reason: string): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#channel.close()
    this.onclose?.(reason)
  }
}
