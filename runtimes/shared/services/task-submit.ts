/**
 * Tasks on port 1003 (spec/07 §8): frames in, the answer to a submission out. Reads until the peer closes, so the
 * second frame of a connection, which the reference never reads, counts.
 */
import { PilotError, WireError } from '../../../core/errors.ts'
import type { DataFrame } from '../../../core/service/data-exchange.ts'
import { isTaskId } from '../../../core/service/task.ts'
import {
  decodeTaskRequest,
  decodeTaskResults,
  decodeTaskStatus,
  encodeTaskResponse,
  TASK_FRAME,
  type TaskRequest,
  type TaskResults,
  type TaskStatusUpdate,
} from '../../../core/service/task-message.ts'
import type { Address } from '../../../core/wire/address.ts'
import type { PilotConnection } from '../api.ts'
import { AsyncStream } from './async-stream.ts'
import { ConnectionGate } from './connection-gate.ts'
import { dataFrames } from './data-frames.ts'

/** What happens with messages; `from` is the stream's remote address, whatever the message claims. */
export interface TaskDesk {
  /** Takes a task or says why not. */
  submit(
    request: TaskRequest,
    from: Address,
  ): Promise<{ readonly status: number; readonly message: string }>
  update(update: TaskStatusUpdate, from: Address): Promise<void>
  results(results: TaskResults, from: Address): Promise<void>
}

export interface TaskSubmitOptions {
  readonly desk: TaskDesk
  readonly setTimer: (work: () => void, ms: number) => () => void
}

/** For each complete frame. */
const FRAME_MS = 60_000
const CONNECTIONS_MAX = 64
const PER_PEER_MAX = 16
/** A real conversation has two. */
const FRAMES_MAX = 16

export class TaskSubmitService {
  readonly #options: TaskSubmitOptions
  readonly #gate = new ConnectionGate(CONNECTIONS_MAX, PER_PEER_MAX)

  constructor(options: TaskSubmitOptions) {
    this.#options = options
  }

  /** Serves a connection until it ends. Never throws. */
  serve(connection: PilotConnection): void {
    this.#gate.admit(connection, (one) => this.#run(one))
  }

  async #run(connection: PilotConnection): Promise<void> {
    const stream = new AsyncStream(connection)
    const { setTimer } = this.#options
    let frames = 0
    try {
      for await (const frame of dataFrames({ connection, stream, setTimer, frameMs: FRAME_MS })) {
        if (++frames > FRAMES_MAX) throw new WireError('ERR_WIRE_VALUE', 'too many frames')
        const answer = await this.#handle(frame, connection.remote.address)
        if (answer !== undefined) await stream.write(answer)
      }
    } catch (error) {
      // What is no message ends the stream without an answer, as in the reference; so does a store that fails.
      if (!(error instanceof PilotError)) {
        connection.reset()
        throw error
      }
    }
    connection.close()
  }

  async #handle(frame: DataFrame, from: Address): Promise<Uint8Array | undefined> {
    const { desk } = this.#options
    switch (frame.type) {
      case TASK_FRAME.submit: {
        const request = decodeTaskRequest(frame)
        const { taskId } = request
        if (!isTaskId(taskId))
          return encodeTaskResponse({ taskId, status: 400, message: 'Invalid task id' })
        return encodeTaskResponse({ taskId, ...(await desk.submit(request, from)) })
      }
      case TASK_FRAME.statusUpdate: {
        const update = decodeTaskStatus(frame)
        if (isTaskId(update.taskId)) await desk.update(update, from)
        return undefined
      }
      case TASK_FRAME.sendResults: {
        const results = decodeTaskResults(frame)
        if (isTaskId(results.taskId)) await desk.results(results, from)
        return undefined
      }
      default:
        throw new WireError('ERR_WIRE_TYPE', `no message of type ${frame.type}`)
    }
  }
}
