/**
 * A task as its file holds it, its life cycle and what it earns (spec/07 §8.3 to §8.5). Pure: the caller gives the
 * time in Unix milliseconds, reads and writes. Times in the file are whole seconds.
 */
import { utf8 } from '../bytes.ts'
import { UsageError } from '../errors.ts'
import { formatRfc3339, parseRfc3339 } from '../time-text.ts'
import { formatGoJson, integerMember, parseGoJson, textMember } from './go-json.ts'
import type { TaskTimes } from './task-message.ts'

export const TASK_STATUSES = [
  'NEW',
  'ACCEPTED',
  'DECLINED',
  'EXECUTING',
  'COMPLETED',
  'SUCCEEDED',
  'CANCELLED',
  'EXPIRED',
] as const
export type TaskStatus = (typeof TASK_STATUSES)[number]

/** Nobody answered a NEW task for so long: it is cancelled. */
export const TASK_ANSWER_MS = 60_000
/** An accepted task was first in the queue for so long: it expires. */
export const TASK_HEAD_MS = 3_600_000

export interface Task {
  readonly taskId: string
  readonly description: string
  readonly createdAt: string
  readonly status: TaskStatus
  readonly justification: string
  readonly from: string
  readonly to: string
  /** `''` and 0: not known. */
  readonly acceptedAt: string
  readonly stagedAt: string
  readonly executeStartedAt: string
  readonly completedAt: string
  readonly times: TaskTimes
}

/** Ids become file names, so nothing else is one. */
export function isTaskId(text: string): boolean {
  return /^[0-9A-Za-z-]{1,64}$/.test(text)
}

export function newTask(
  task: Pick<Task, 'taskId' | 'description' | 'from' | 'to'>,
  nowMs: number,
): Task {
  return {
    taskId: task.taskId,
    description: task.description,
    createdAt: timeText(nowMs),
    status: 'NEW',
    justification: 'A new task was created',
    from: task.from,
    to: task.to,
    acceptedAt: '',
    stagedAt: '',
    executeStartedAt: '',
    completedAt: '',
    times: { idleMs: 0, stagedMs: 0, cpuMs: 0 },
  }
}

export function formatTask(task: Task): Uint8Array {
  const { times } = task
  const known = (name: string, value: string | number): Record<string, unknown> =>
    value === '' || value === 0 ? {} : { [name]: value }
  return utf8(
    formatGoJson(
      {
        task_id: task.taskId,
        task_description: task.description,
        created_at: task.createdAt,
        status: task.status,
        status_justification: task.justification,
        from: task.from,
        to: task.to,
        ...known('accepted_at', task.acceptedAt),
        ...known('staged_at', task.stagedAt),
        ...known('execute_started_at', task.executeStartedAt),
        ...known('completed_at', task.completedAt),
        ...known('time_idle_ms', times.idleMs),
        ...known('time_staged_ms', times.stagedMs),
        ...known('time_cpu_ms', times.cpuMs),
      },
      2,
    ),
  )
}

/** @throws {WireError} `ERR_WIRE_VALUE`. A status nobody knows is taken as it is. */
export function parseTask(bytes: Uint8Array): Task {
  const members = parseGoJson(bytes)
  return {
    taskId: textMember(members, 'task_id'),
    description: textMember(members, 'task_description'),
    createdAt: textMember(members, 'created_at'),
    status: textMember(members, 'status') as TaskStatus,
    justification: textMember(members, 'status_justification'),
    from: textMember(members, 'from'),
    to: textMember(members, 'to'),
    acceptedAt: textMember(members, 'accepted_at'),
    stagedAt: textMember(members, 'staged_at'),
    executeStartedAt: textMember(members, 'execute_started_at'),
    completedAt: textMember(members, 'completed_at'),
    times: {
      idleMs: integerMember(members, 'time_idle_ms'),
      stagedMs: integerMember(members, 'time_staged_ms'),
      cpuMs: integerMember(members, 'time_cpu_ms'),
    },
  }
}

// What the receiver does

/** @throws {UsageError} `ERR_TASK_STATE`, `ERR_TASK_EXPIRED` when it waited for more than a minute. */
export function acceptTask(task: Task, nowMs: number): Task {
  requireStatus(task, 'NEW')
  if (isUnanswered(task, nowMs))
    throw new UsageError('ERR_TASK_EXPIRED', `task ${task.taskId} was not answered in a minute`)
  return answered(task, 'ACCEPTED', 'Task accepted', nowMs)
}

/** @throws {UsageError} `ERR_TASK_STATE`. */
export function declineTask(task: Task, justification: string, nowMs: number): Task {
  requireStatus(task, 'NEW')
  return answered(task, 'DECLINED', justification, nowMs)
}

/** First of the queue: from now on the time counts after which it expires. */
export function stageTask(task: Task, nowMs: number): Task {
  return task.status === 'ACCEPTED' && task.stagedAt === ''
    ? { ...task, stagedAt: timeText(nowMs) }
    : task
}

/** @throws {UsageError} `ERR_TASK_STATE`. */
export function executeTask(task: Task, nowMs: number): Task {
  requireStatus(task, 'ACCEPTED')
  const staged = stageTask(task, nowMs)
  return {
    ...staged,
    status: 'EXECUTING',
    justification: 'Task execution started',
    executeStartedAt: timeText(nowMs),
    times: { ...task.times, stagedMs: sinceMs(staged.stagedAt, nowMs) },
  }
}

/** Results were sent. @throws {UsageError} `ERR_TASK_STATE`. */
export function succeedTask(task: Task, nowMs: number): Task {
  requireStatus(task, 'EXECUTING', 'ACCEPTED')
  return {
    ...task,
    status: 'SUCCEEDED',
    justification: 'Results sent successfully',
    completedAt: timeText(nowMs),
    times: { ...task.times, cpuMs: sinceMs(task.executeStartedAt, nowMs) },
  }
}

/** What the clock does to a received task; the same object when nothing. */
export function ageTask(task: Task, nowMs: number): Task {
  if (task.status === 'NEW' && isUnanswered(task, nowMs))
    return {
      ...task,
      status: 'CANCELLED',
      justification: 'Task cancelled: no response within 1 minute',
    }
  // Only what was accepted waits in the queue; the reference also expires what is done (spec/07 §8.5).
  if (task.status === 'ACCEPTED' && sinceMs(task.stagedAt, nowMs) > TASK_HEAD_MS)
    return {
      ...task,
      status: 'EXPIRED',
      justification: 'Task expired: at head of queue for over 1 hour',
    }
  return task
}

/** Accepted tasks in the order in which they were accepted. */
export function taskQueue(tasks: readonly Task[]): Task[] {
  return tasks
    .filter((task) => task.status === 'ACCEPTED')
    .sort((a, b) => timeOf(a.acceptedAt) - timeOf(b.acceptedAt) || (a.taskId < b.taskId ? -1 : 1))
}

// What the submitter hears

const NEXT: Readonly<Partial<Record<TaskStatus, readonly TaskStatus[]>>> = {
  NEW: ['ACCEPTED', 'DECLINED', 'EXECUTING', 'CANCELLED', 'EXPIRED'],
  ACCEPTED: ['EXECUTING', 'CANCELLED', 'EXPIRED'],
  EXECUTING: ['CANCELLED', 'EXPIRED'],
  COMPLETED: ['SUCCEEDED'],
}

/** The task after a STATUS_UPDATE of its receiver; `undefined` when that is no step from where it is. */
export function updatedTask(task: Task, status: string, justification: string): Task | undefined {
  const next = NEXT[task.status]?.find((one) => one === status)
  return next === undefined ? undefined : { ...task, status: next, justification }
}

/** The task after its results came; `undefined` when it is over already, so that they count once. */
export function completedTask(task: Task, times: TaskTimes, nowMs: number): Task | undefined {
  if (!['NEW', 'ACCEPTED', 'EXECUTING'].includes(task.status)) return undefined
  return {
    ...task,
    status: 'COMPLETED',
    justification: 'Task completed with results',
    completedAt: timeText(nowMs),
    times: clampTimes(times, sinceMs(task.createdAt, nowMs)),
  }
}

/** Claimed times are no negative ones, and no longer than the task has existed. */
export function clampTimes(times: TaskTimes, existedMs: number): TaskTimes {
  const clamp = (ms: number): number => Math.min(Math.max(0, ms), existedMs)
  return {
    idleMs: clamp(times.idleMs),
    stagedMs: clamp(times.stagedMs),
    cpuMs: clamp(times.cpuMs),
  }
}

/** Points of whoever did it, at least 1 (spec/07 §8.5). */
export function taskReward({ idleMs, stagedMs, cpuMs }: TaskTimes): number {
  const cpuMinutes = cpuMs / 60_000
  const bonus = cpuMinutes <= -1 ? 0 : Math.log2(1 + cpuMinutes)
  const share = (ratio: number): number => Math.min(Math.max(ratio * 0.3, 0), 0.3)
  const efficiency = Math.max(1 - share(idleMs / 60_000) - share(stagedMs / 600_000), 0.4)
  return Math.max(1, Math.floor((1 + bonus) * efficiency + 0.5))
}

function answered(task: Task, status: TaskStatus, justification: string, nowMs: number): Task {
  return {
    ...task,
    status,
    justification,
    acceptedAt: timeText(nowMs),
    times: { ...task.times, idleMs: sinceMs(task.createdAt, nowMs) },
  }
}

function requireStatus(task: Task, ...statuses: readonly TaskStatus[]): void {
  if (!statuses.includes(task.status))
    throw new UsageError('ERR_TASK_STATE', `task ${task.taskId} is already ${task.status}`)
}

function isUnanswered(task: Task, nowMs: number): boolean {
  return sinceMs(task.createdAt, nowMs) > TASK_ANSWER_MS
}

/** 0 for an unknown time, and for one to come. */
function sinceMs(text: string, nowMs: number): number {
  const at = parseRfc3339(text)
  return at === undefined ? 0 : Math.max(0, Math.floor(nowMs) - at * 1000)
}

function timeOf(text: string): number {
  return parseRfc3339(text) ?? 0
}

function timeText(nowMs: number): string {
  return formatRfc3339(Math.floor(nowMs / 1000))
}
