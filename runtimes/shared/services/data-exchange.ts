/** Messages and files on port 1001 (spec/07 §6): every frame is stored, then answered, in order. */
import { fromUtf8, utf8 } from '../../../core/bytes.ts'
import { WireError } from '../../../core/errors.ts'
import {
  ackText,
  DATA_FRAME,
  type DataFrame,
  dataTypeName,
  decodeFilePayload,
  decodeTrace,
  encodeDataFrame,
  errorText,
  formatTraceAnswer,
} from '../../../core/service/data-exchange.ts'
import { sanitizeFileName } from '../../../core/service/inbox.ts'
import type { Address } from '../../../core/wire/address.ts'
import type { PilotConnection } from '../api.ts'
import { AsyncStream } from './async-stream.ts'
import { ConnectionGate } from './connection-gate.ts'
import { dataFrames } from './data-frames.ts'

/** One file coming in by FILESTREAM (spec/07 §6.5). Its methods never reject. */
export interface FileIntake {
  /** True after the last message; the next INIT needs a new intake. */
  readonly isOver: boolean
  handleFrame(frame: DataFrame): Promise<void>
  /** The stream ended, or the connection was lost. */
  end(): Promise<void>
}

/** Where frames end up; what it throws is told to the sender. */
export interface DataExchangeStore {
  /** `write` takes whole frames for the sender. Absent: FILESTREAM is not known here. */
  openIntake?(from: Address, write: (frame: Uint8Array) => Promise<void>): FileIntake
  storeMessage(typeName: string, from: Address, payload: Uint8Array): Promise<void>
  /** `name` is sanitised. */
  storeFile(name: string, from: Address, data: Uint8Array): Promise<void>
}

export interface DataExchangeOptions {
  readonly store: DataExchangeStore
  /** Unix time in nanoseconds. */
  readonly unixNs: () => bigint
  readonly setTimer: (work: () => void, ms: number) => () => void
}

/** For the first complete frame, and for each one after it. */
const FRAME_MS = 60_000
/** Connections served at once; each may hold one frame of 16 MiB. */
const CONNECTIONS_MAX = 64
const PER_PEER_MAX = 48

export class DataExchangeService {
  readonly #options: DataExchangeOptions
  readonly #gate = new ConnectionGate(CONNECTIONS_MAX, PER_PEER_MAX)

  constructor(options: DataExchangeOptions) {
    this.#options = options
  }

  /** Serves a connection until it ends. Never throws. */
  serve(connection: PilotConnection): void {
    this.#gate.admit(connection, (one) => this.#run(one))
  }

  async #run(connection: PilotConnection): Promise<void> {
    const stream = new AsyncStream(connection)
    const { store, setTimer } = this.#options
    let intake: FileIntake | undefined
    try {
      for await (const frame of dataFrames({ connection, stream, setTimer, frameMs: FRAME_MS })) {
        if (frame.type === DATA_FRAME.fileStream && store.openIntake !== undefined) {
          if (intake === undefined || intake.isOver)
            intake = store.openIntake(connection.remote.address, (bytes) => stream.write(bytes))
          await intake.handleFrame(frame)
        } else await stream.write(await this.#answer(frame, connection.remote.address))
      }
      connection.close()
    } catch (error) {
      // An announced length nobody takes, or a connection that went away in the middle.
      if (error instanceof WireError) connection.reset()
      else connection.close()
    } finally {
      await intake?.end()
    }
  }

  async #answer(frame: DataFrame, from: Address): Promise<Uint8Array> {
    return frame.type === DATA_FRAME.trace
      ? this.#answerTrace(frame.payload, from)
      : text(await this.#store(frame, from))
  }

  /** The text of the answer. */
  async #store({ type, payload }: DataFrame, from: Address): Promise<string> {
    const { store } = this.#options
    try {
      switch (type) {
        case DATA_FRAME.text:
        case DATA_FRAME.binary:
        case DATA_FRAME.json:
          await store.storeMessage(dataTypeName(type), from, payload)
          return ackText(type, payload.length)
        case DATA_FRAME.file: {
          const { name, data } = decodeFilePayload(payload)
          const clean = sanitizeFileName(name)
          if (clean === undefined) return errorText(type, 'the file has no usable name')
          await store.storeFile(clean, from, data)
          return ackText(type, data.length)
        }
        default:
          return ackText(type, payload.length) // acknowledged and not stored (spec/07 §6.2)
      }
    } catch (error) {
      return errorText(type, error instanceof Error ? error.message : String(error))
    }
  }

  async #answerTrace(payload: Uint8Array, from: Address): Promise<Uint8Array> {
    const receivedAtNs = this.#options.unixNs()
    let innerType: number
    let inner: Uint8Array
    let sentAtNs: bigint
    try {
      ;({ innerType, inner, sentAtNs } = decodeTrace(payload))
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      return text(`ERR trace parse: ${error.message}`)
    }
    const innerAck = await this.#store({ type: innerType, payload: inner }, from)
    const inboxWrittenAtNs = this.#options.unixNs()
    const answer = formatTraceAnswer({
      sentAtNs,
      receivedAtNs,
      inboxWrittenAtNs,
      ackSentAtNs: this.#options.unixNs(),
      innerAck,
    })
    return encodeDataFrame(DATA_FRAME.json, utf8(answer))
  }
}

function text(answer: string): Uint8Array {
  return encodeDataFrame(DATA_FRAME.text, utf8(answer))
}

/** The text of an answer frame, for clients. */
export function answerText({ payload }: DataFrame): string {
  return fromUtf8(payload) ?? ''
}
