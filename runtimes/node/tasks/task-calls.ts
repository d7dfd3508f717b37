/**
 * What a person or program does with tasks (spec/08 §3.5): files of this machine, and messages to the other side
 * through whatever dials for us, a node or the socket of a daemon.
 */

import { randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { basename, extname } from 'node:path'
import { NetworkError, UsageError } from '../../../core/errors.ts'
import { DataFrameDecoder } from '../../../core/service/data-exchange.ts'
import { portableFileName } from '../../../core/service/inbox.ts'
import * as cycle from '../../../core/service/task.ts'
import {
  decodeTaskResponse,
  encodeTaskRequest,
  encodeTaskResults,
  encodeTaskStatus,
  type TaskResponse,
} from '../../../core/service/task-message.ts'
import { type Address, formatAddress, parseAddress } from '../../../core/wire/address.ts'
import type { TaskBox, TaskStore } from './task-store.ts'

/** A stream to port 1003 of a node, as the command line and the daemon have them. */
export interface TaskChannel {
  /** `undefined` at the end. */
  read(): Promise<Uint8Array | undefined>
  write(data: Uint8Array): Promise<void>
  /** What was written is delivered, then the stream ends. */
  close(): Promise<void>
}

export type TaskDial = (to: Address) => Promise<TaskChannel>

/** Extensions of result files (spec/07 §8.5). */
export const RESULT_EXTENSIONS: readonly string[] =
  '.md .txt .rtf .docx .pdf .pptx .pth .pt .onnx .h5 .pb .ckpt .safetensors .bin .csv .parquet .xlsx .xls .jpg .jpeg .png .svg .gif .webp'.split(
    ' ',
  )
/** As base64 it fits a frame of 16 MiB. */
const RESULT_BYTES_MAX = 12_000_000
/** Results of text: escapes make up to six bytes of one. */
const RESULT_TEXT_MAX = 2_000_000

export interface TaskCallsOptions {
  readonly store: TaskStore
  readonly dial: TaskDial
  /** Unix milliseconds. */
  readonly now?: () => number
}

/** `notified`: the other side has been written to; it acknowledges nothing. */
export interface TaskStep {
  readonly task: cycle.Task
  readonly notified: boolean
}

export class TaskCalls {
  readonly #store: TaskStore
  readonly #dial: TaskDial
  readonly #now: () => number

  constructor({ store, dial, now = Date.now }: TaskCallsOptions) {
    this.#store = store
    this.#dial = dial
    this.#now = now
  }

  /**
   * Offers a task. A refusal is an answer: `status` 400. The own copy is written once it was taken.
   *
   * @throws {PilotError} what dialing throws, `ERR_CONNECTION_CLOSED` without an answer, `ERR_WIRE_VALUE`,
   * `ERR_STORE_IO`.
   */
  async submit(from: Address, to: Address, description: string): Promise<TaskResponse> {
    const taskId = newTaskId()
    const [sender, receiver] = [formatAddress(from), formatAddress(to)]
    const channel = await this.#dial(to)
    let response: TaskResponse
    try {
      await channel.write(encodeTaskRequest({ taskId, description, from: sender, to: receiver }))
      response = await readResponse(channel)
    } finally {
      await channel.close().catch(() => {})
    }
    if (response.status === 200)
      await this.#store.create(
        'submitted',
        cycle.newTask({ taskId, description, from: sender, to: receiver }, this.#now()),
      )
    return { ...response, taskId }
  }

  /**
   * @throws {UsageError} `ERR_TASK_NOT_FOUND`, `ERR_TASK_STATE`, `ERR_TASK_EXPIRED` after a minute; the task is then
   * CANCELLED.
   */
  async accept(taskId: string): Promise<TaskStep> {
    let isLate = false
    const task = await this.#step(taskId, (found) => {
      const aged = cycle.ageTask(found, this.#now())
      isLate = found.status === 'NEW' && aged.status === 'CANCELLED'
      return isLate ? aged : cycle.acceptTask(found, this.#now())
    })
    const notified = await this.#notify(task)
    if (isLate)
      throw new UsageError('ERR_TASK_EXPIRED', `task ${taskId} was not answered within a minute`)
    return { task, notified }
  }

  /** @throws {UsageError} `ERR_TASK_NOT_FOUND`, `ERR_TASK_STATE`. */
  async decline(taskId: string, justification: string): Promise<TaskStep> {
    const task = await this.#step(taskId, (found) =>
      cycle.declineTask(found, justification, this.#now()),
    )
    return { task, notified: await this.#notify(task) }
  }

  /** Starts the first task of the queue. @throws {UsageError} `ERR_TASK_NOT_FOUND` when none was accepted. */
  async execute(): Promise<TaskStep> {
    for (const { taskId } of await this.queue()) {
      let isTaken = false
      const task = await this.#step(taskId, (found) => {
        isTaken = found.status !== 'ACCEPTED' // by another call, meanwhile
        return isTaken ? found : cycle.executeTask(found, this.#now())
      })
      if (!isTaken) return { task, notified: await this.#notify(task) }
    }
    throw new UsageError('ERR_TASK_NOT_FOUND', 'no accepted tasks to execute')
  }

  /**
   * Sends text, or a file of an allowed kind, and then says SUCCEEDED on the same connection. The task changes only
   * when all was written.
   *
   * @throws {UsageError} `ERR_TASK_NOT_FOUND`, `ERR_TASK_STATE`, `ERR_INVALID_ARGUMENT` for the kind or size.
   * @throws {PilotError} what dialing and reading the file throw.
   */
  async sendResults(
    taskId: string,
    results: { readonly text: string } | { readonly path: string },
  ): Promise<cycle.Task> {
    const found = await this.#store.read('received', taskId)
    if (found === undefined) throw notFound(taskId)
    const done = cycle.succeedTask(found, this.#now())
    const content = 'path' in results ? await readResult(results.path) : textResult(results.text)
    const channel = await this.#dial(parseAddress(found.from))
    try {
      await channel.write(
        encodeTaskResults({ taskId, ...content, completedAt: done.completedAt, times: done.times }),
      )
      // The reference reads one frame and closes: what it makes of this one is its own.
      await channel
        .write(encodeTaskStatus({ taskId, status: done.status, justification: done.justification }))
        .catch(() => {})
    } finally {
      await channel.close()
    }
    return this.#step(taskId, (now) =>
      now.status === 'SUCCEEDED' ? now : { ...done, stagedAt: now.stagedAt },
    )
  }

  list(box: TaskBox): Promise<cycle.Task[]> {
    return this.#store.list(box)
  }

  /** Accepted tasks in the order in which `execute` starts them. */
  async queue(): Promise<cycle.Task[]> {
    return cycle.taskQueue(await this.#store.list('received'))
  }

  async #step(taskId: string, change: (task: cycle.Task) => cycle.Task): Promise<cycle.Task> {
    const task = await this.#store.update('received', taskId, change)
    if (task === undefined) throw notFound(taskId)
    return task
  }

  /** Tells the submitter; the step counts here even where nobody can be told. */
  async #notify(task: cycle.Task): Promise<boolean> {
    return notifySubmitter(this.#dial, task)
  }
}

/** Writes the task's state to its submitter. False when that could not be dialed. */
export async function notifySubmitter(dial: TaskDial, task: cycle.Task): Promise<boolean> {
  const { taskId, status, justification } = task
  try {
    const channel = await dial(parseAddress(task.from))
    try {
      await channel.write(encodeTaskStatus({ taskId, status, justification }))
    } finally {
      await channel.close()
    }
    return true
  } catch {
    return false
  }
}

/** 16 random bytes as `8-4-4-4-12`; no version bits, as in the reference. */
function newTaskId(): string {
  return randomBytes(16)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

async function readResponse(channel: TaskChannel): Promise<TaskResponse> {
  const decoder = new DataFrameDecoder(1 << 20)
  for (let chunk = await channel.read(); chunk !== undefined; chunk = await channel.read()) {
    decoder.push(chunk)
    const frame = decoder.next()
    if (frame !== undefined) return decodeTaskResponse(frame)
  }
  throw new NetworkError('ERR_CONNECTION_CLOSED', 'the peer closed without an answer')
}

type ResultContent = Pick<
  Parameters<typeof encodeTaskResults>[0],
  'resultType' | 'text' | 'fileName' | 'fileData'
>

function textResult(text: string): ResultContent {
  if (text.length > RESULT_TEXT_MAX)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `results of text have at most ${RESULT_TEXT_MAX} characters`,
    )
  return { resultType: 'text', text, fileName: '', fileData: new Uint8Array(0) }
}

async function readResult(path: string): Promise<ResultContent> {
  const extension = extname(path).toLowerCase()
  if (!RESULT_EXTENSIONS.includes(extension))
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `file type ${JSON.stringify(extension)} not allowed for results`,
    )
  const { size } = await stat(path)
  if (size > RESULT_BYTES_MAX)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `a result file has at most ${RESULT_BYTES_MAX} bytes, got ${size}`,
    )
  const fileName = portableFileName(basename(path)) ?? `result${extension}`
  return { resultType: 'file', text: '', fileName, fileData: await readFile(path) }
}

function notFound(taskId: string): UsageError {
  return new UsageError('ERR_TASK_NOT_FOUND', `task not found: ${taskId}`)
}
