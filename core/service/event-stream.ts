/**
 * Event stream, port 1002 (spec/07 §7): events of topic length u16, topic, payload length u32, payload,
 * big-endian; both directions, no answers.
 */
import { utf8, viewOf } from '../bytes.ts'
import { UsageError, WireError } from '../errors.ts'
import { ByteCollector } from './byte-collector.ts'

export interface StreamEvent {
  /** Bytes, not text: topics match byte by byte. */
  readonly topic: Uint8Array
  readonly payload: Uint8Array
}

export const EVENT_TOPIC_BYTES_MAX = 1024
export const EVENT_PAYLOAD_BYTES_MAX = 16_777_216

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` beyond 1024 bytes of topic or 16 MiB of payload, which no reader takes. */
export function encodeEvent(topic: Uint8Array | string, payload: Uint8Array): Uint8Array {
  const name = typeof topic === 'string' ? utf8(topic) : topic
  if (name.length > EVENT_TOPIC_BYTES_MAX || payload.length > EVENT_PAYLOAD_BYTES_MAX)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `an event takes ${EVENT_TOPIC_BYTES_MAX} bytes of topic and ${EVENT_PAYLOAD_BYTES_MAX} of payload, ` +
        `got ${name.length} and ${payload.length}`,
    )
  const out = new Uint8Array(6 + name.length + payload.length)
  const view = viewOf(out)
  view.setUint16(0, name.length)
  out.set(name, 2)
  view.setUint32(2 + name.length, payload.length)
  out.set(payload, 6 + name.length)
  return out
}

type Part = 'topicLength' | 'topic' | 'payloadLength' | 'payload'

/** Events out of a stream, chunk by chunk. */
export class EventDecoder {
  readonly #bytes = new ByteCollector()
  #chunk: Uint8Array = new Uint8Array(0)
  #at = 0
  #part: Part = 'topicLength'
  #topic: Uint8Array = new Uint8Array(0)

  constructor() {
    this.#bytes.expect(2)
  }

  /** The next chunk of the stream. Call `next` until it gives nothing before pushing more. */
  push(chunk: Uint8Array): void {
    if (this.#at === this.#chunk.length) this.#chunk = chunk
    else {
      const rest = this.#chunk.subarray(this.#at)
      this.#chunk = new Uint8Array(rest.length + chunk.length)
      this.#chunk.set(rest)
      this.#chunk.set(chunk, rest.length)
    }
    this.#at = 0
  }

  /**
   * The next whole event, or `undefined` when more bytes are needed.
   *
   * @throws {WireError} `ERR_WIRE_LENGTH` for a topic above 1024 bytes or a payload above 16 MiB; the stream is
   * then of no use.
   */
  next(): StreamEvent | undefined {
    for (;;) {
      this.#at += this.#bytes.push(this.#chunk, this.#at)
      if (!this.#bytes.isComplete) return undefined
      const bytes = this.#bytes.take()
      switch (this.#part) {
        case 'topicLength':
          this.#start('topic', viewOf(bytes).getUint16(0), EVENT_TOPIC_BYTES_MAX)
          break
        case 'topic':
          this.#topic = bytes
          this.#start('payloadLength', 4, 4)
          break
        case 'payloadLength':
          this.#start('payload', viewOf(bytes).getUint32(0), EVENT_PAYLOAD_BYTES_MAX)
          break
        case 'payload':
          this.#start('topicLength', 2, 2)
          return { topic: this.#topic, payload: bytes }
      }
    }
  }

  /** True when the stream may end here: between two events. */
  get isAtBoundary(): boolean {
    return this.#part === 'topicLength' && !this.#bytes.isPartial && this.#at === this.#chunk.length
  }

  #start(part: Part, length: number, limit: number): void {
    if (length > limit)
      throw new WireError('ERR_WIRE_LENGTH', `${part} of ${length} bytes exceeds ${limit}`)
    this.#part = part
    this.#bytes.expect(length)
  }
}
