/**
 * The daemon's part in tasks (spec/07 §8): takes them, keeps those it submitted true, cancels and expires, and asks
 * the registry to count what was earned.
 */

import { utf8 } from '../../../core/bytes.ts'
import { PORT } from '../../../core/constants.ts'
import { PilotError } from '../../../core/errors.ts'
import * as cycle from '../../../core/service/task.ts'
import type {
  TaskRequest,
  TaskResults,
  TaskStatusUpdate,
} from '../../../core/service/task-message.ts'
import { type Address, formatAddress, parseAddress } from '../../../core/wire/address.ts'
import type { PilotNode } from '../../shared/api.ts'
import { AsyncStream } from '../../shared/services/async-stream.ts'
import type { TaskDesk } from '../../shared/services/task-submit.ts'
import { notifySubmitter, type TaskChannel, type TaskDial } from '../tasks/task-calls.ts'
import { TaskStore } from '../tasks/task-store.ts'
import type { EmitWebhook } from '../webhook/webhook-events.ts'
import type { Log } from './log.ts'

const SCAN_MS = 10_000
/** Received task files, whatever their state. */
const TASKS_MAX = 10_000
/** Of one node, neither done nor declined nor over. */
const OPEN_PER_NODE_MAX = 100
const DESCRIPTION_MAX = 1 << 20
/** Peers told at once that a task is over, by one scan. */
const NOTICES_MAX = 32
const NOTIFY_MS = 15_000

export interface TaskDeskOptions {
  readonly node: PilotNode
  readonly home: string
  readonly log: Log
  /** Hears of tasks that come, and of what becomes of those submitted. */
  readonly emit?: EmitWebhook
  /** Unix milliseconds. */
  readonly now?: () => number
}

export class DaemonTaskDesk implements TaskDesk, Disposable {
  readonly #node: PilotNode
  readonly #store: TaskStore
  readonly #log: Log
  readonly #emit: EmitWebhook
  readonly #now: () => number
  readonly #dial: TaskDial
  readonly #timer: NodeJS.Timeout
  #isScanning = false

  constructor({ node, home, log, emit = () => {}, now = Date.now }: TaskDeskOptions) {
    this.#emit = emit
    this.#node = node
    this.#store = new TaskStore(home)
    this.#log = log
    this.#now = now
    this.#dial = dialTasks(node, NOTIFY_MS)
    this.#timer = setInterval(() => void this.scan(), SCAN_MS).unref()
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  async submit(
    request: TaskRequest,
    from: Address,
  ): Promise<{ readonly status: number; readonly message: string }> {
    const refuse = (message: string): { status: number; message: string } => {
      this.#log.info('task refused', { from: from.node, reason: message })
      return { status: 400, message }
    }
    if (request.description.length > DESCRIPTION_MAX) return refuse('Task description too long')
    let scores: readonly [number, number]
    try {
      scores = await Promise.all([this.#scoreOf(from.node), this.#scoreOf(this.#node.nodeId)])
    } catch {
      return refuse('Failed to verify polo score')
    }
    if (scores[0] < scores[1])
      return refuse(`Polo score too low: submitter=${scores[0]}, receiver=${scores[1]}`)
    if ((await this.#store.count('received')) >= TASKS_MAX) return refuse('Task store is full')
    const open = (await this.#store.list('received')).filter(
      (one) => nodeOf(one.from) === from.node && /^(NEW|ACCEPTED|EXECUTING)$/.test(one.status),
    )
    if (open.length >= OPEN_PER_NODE_MAX) return refuse('Too many open tasks of this node')
    const task = cycle.newTask(
      {
        taskId: request.taskId,
        description: request.description,
        // Where it really comes from: the address in the message is only a claim.
        from: formatAddress(from),
        to: formatAddress(this.#node.address),
      },
      this.#now(),
    )
    let isNew: boolean
    try {
      isNew = await this.#store.create('received', task)
    } catch (error) {
      this.#log.error('task not stored', { reason: messageOf(error) })
      return refuse('The receiver cannot store the task')
    }
    if (!isNew) return refuse('Task id already known')
    this.#log.info('task received', { from: from.node, task_id: task.taskId })
    const { taskId, description } = task
    this.#emit('task.submitted', { task_id: taskId, from: task.from, size: description.length })
    return { status: 200, message: 'Task received with status NEW' }
  }

  async update({ taskId, status, justification }: TaskStatusUpdate, from: Address): Promise<void> {
    const task = await this.#changeSubmitted(taskId, from, (found) =>
      cycle.updatedTask(found, status, justification.slice(0, DESCRIPTION_MAX)),
    )
    if (task === undefined) return
    this.#emit('task.status', { task_id: taskId, from: formatAddress(from), status: task.status })
  }

  async results(results: TaskResults, from: Address): Promise<void> {
    const { taskId } = results
    const task = await this.#changeSubmitted(taskId, from, async (found) => {
      const completed = cycle.completedTask(found, results.times, this.#now())
      // Before the file says COMPLETED: then the results are there.
      if (completed !== undefined) await this.#store.storeResult(taskId, results)
      return completed
    })
    if (task === undefined) return
    this.#log.info('task results received', { from: from.node, task_id: taskId })
    this.#emit('task.results', {
      task_id: taskId,
      from: formatAddress(from),
      type: results.resultType,
      size: results.resultType === 'file' ? results.fileData.length : utf8(results.text).length,
    })
    // The file says COMPLETED by now, so nothing that comes later counts again; a crash here loses a point at most.
    const reward = cycle.taskReward(task.times)
    await this.#score(from.node, reward)
    await this.#score(this.#node.nodeId, -1)
  }

  /** Cancels what nobody answered, stages the first of the queue, expires one that stays there. Never rejects. */
  async scan(): Promise<void> {
    if (this.#isScanning) return
    this.#isScanning = true
    try {
      const tasks = await this.#store.list('received')
      const [head] = cycle.taskQueue(tasks)
      if (head !== undefined && head.stagedAt === '')
        await this.#age(head.taskId, (task) => cycle.stageTask(task, this.#now()))
      const late = tasks.filter((task) => cycle.ageTask(task, this.#now()) !== task)
      for (const { taskId } of late.slice(0, NOTICES_MAX)) {
        const task = await this.#age(taskId, (found) => {
          const aged = cycle.ageTask(found, this.#now())
          return aged === found ? undefined : aged
        })
        if (task === undefined) continue
        this.#log.info('task is over', { task_id: taskId, status: task.status })
        this.#emit('task.status', { task_id: taskId, from: task.to, status: task.status })
        if (task.status === 'EXPIRED') await this.#score(this.#node.nodeId, -1)
        void notifySubmitter(this.#dial, task)
      }
    } catch (error) {
      this.#log.warn('tasks could not be looked through', { reason: messageOf(error) })
    } finally {
      this.#isScanning = false
    }
  }

  #age(
    taskId: string,
    change: (task: cycle.Task) => cycle.Task | undefined,
  ): Promise<cycle.Task | undefined> {
    return this.#store.update('received', taskId, change)
  }

  /** Only the node that a task was given to may say anything about it. */
  async #changeSubmitted(
    taskId: string,
    from: Address,
    change: (task: cycle.Task) => cycle.Task | undefined | Promise<cycle.Task | undefined>,
  ): Promise<cycle.Task | undefined> {
    try {
      return await this.#store.update('submitted', taskId, (task) =>
        nodeOf(task.to) === from.node ? change(task) : undefined,
      )
    } catch (error) {
      if (error instanceof PilotError && error.code === 'ERR_TASK_NOT_FOUND') return undefined
      this.#log.error('task not changed', { task_id: taskId, reason: messageOf(error) })
      return undefined
    }
  }

  async #scoreOf(nodeId: number): Promise<number> {
    const reply = await this.#node.registry.request({ type: 'get_polo_score', node_id: nodeId })
    if (typeof reply.polo_score !== 'number') throw new PilotError('ERR_REGISTRY', 'no polo score')
    return reply.polo_score
  }

  /** Once: a repeated request would count twice (spec/04 §16.6). */
  async #score(nodeId: number, delta: number): Promise<void> {
    try {
      await this.#node.registry.request({ type: 'update_polo_score', node_id: nodeId, delta })
    } catch (error) {
      this.#log.warn('the registry did not take a polo score', {
        node_id: nodeId,
        delta,
        reason: messageOf(error),
      })
    }
  }
}

/** Streams to port 1003 by a node of this process. */
export function dialTasks(node: PilotNode, timeoutMs: number): TaskDial {
  return async (to): Promise<TaskChannel> => {
    const connection = await node.dial({ address: to, port: PORT.taskSubmit }, { timeoutMs })
    const stream = new AsyncStream(connection)
    return {
      read: () => stream.read(),
      write: (data) => stream.write(data),
      close: async () => {
        connection.close()
        // Wait for the other side, so that the process may go when this resolves; not for one that hangs.
        const late = setTimeout(() => connection.reset(), timeoutMs)
        await connection.closed.catch(() => {}).finally(() => clearTimeout(late))
      },
    }
  }
}

function nodeOf(address: string): number | undefined {
  try {
    return parseAddress(address).node
  } catch {
    return undefined
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
