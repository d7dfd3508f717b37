/**
 * Task submission, port 1003 (spec/07 §8.1): messages as JSON in frames of type u32, length u32, which are those of
 * data exchange. A request and its response share type 1.
 */
import { fromBase64, toBase64, utf8 } from '../bytes.ts'
import { WireError } from '../errors.ts'
import { type DataFrame, encodeDataFrame } from './data-exchange.ts'
import { formatGoJson, integerMember, parseGoJson, textMember } from './go-json.ts'

export const TASK_FRAME = { submit: 1, result: 2, statusUpdate: 3, sendResults: 4 } as const

export interface TaskRequest {
  readonly taskId: string
  readonly description: string
  /** Addresses as text; what counts is where the stream comes from. */
  readonly from: string
  readonly to: string
}

export interface TaskResponse {
  readonly taskId: string
  /** 200 taken, 400 refused. */
  readonly status: number
  readonly message: string
}

export interface TaskStatusUpdate {
  readonly taskId: string
  readonly status: string
  readonly justification: string
}

export interface TaskTimes {
  /** From creation to acceptance, from the head of the queue to the start, from the start to the end. */
  readonly idleMs: number
  readonly stagedMs: number
  readonly cpuMs: number
}

export interface TaskResults {
  readonly taskId: string
  readonly resultType: 'text' | 'file' | (string & {})
  readonly text: string
  /** As sent: see `sanitizeFileName`. */
  readonly fileName: string
  readonly fileData: Uint8Array
  readonly completedAt: string
  readonly times: TaskTimes
}

export function encodeTaskRequest(request: TaskRequest): Uint8Array {
  return frame(TASK_FRAME.submit, {
    task_id: request.taskId,
    task_description: request.description,
    from_addr: request.from,
    to_addr: request.to,
  })
}

export function encodeTaskResponse({ taskId, status, message }: TaskResponse): Uint8Array {
  return frame(TASK_FRAME.submit, { task_id: taskId, status, message })
}

export function encodeTaskStatus({ taskId, status, justification }: TaskStatusUpdate): Uint8Array {
  return frame(TASK_FRAME.statusUpdate, { task_id: taskId, status, justification })
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` when the frame would pass 16 MiB: about 12 MiB of file. */
export function encodeTaskResults(results: TaskResults): Uint8Array {
  const { times } = results
  return frame(TASK_FRAME.sendResults, {
    task_id: results.taskId,
    result_type: results.resultType,
    ...(results.text === '' ? {} : { result_text: results.text }),
    ...(results.fileName === '' ? {} : { filename: results.fileName }),
    ...(results.fileData.length === 0 ? {} : { file_data: toBase64(results.fileData) }),
    completed_at: results.completedAt,
    ...(times.idleMs === 0 ? {} : { time_idle_ms: times.idleMs }),
    ...(times.stagedMs === 0 ? {} : { time_staged_ms: times.stagedMs }),
    ...(times.cpuMs === 0 ? {} : { time_cpu_ms: times.cpuMs }),
  })
}

/** @throws {WireError} `ERR_WIRE_TYPE`, `ERR_WIRE_VALUE`, as do the others. */
export function decodeTaskRequest(received: DataFrame): TaskRequest {
  const members = membersOf(received, TASK_FRAME.submit)
  return {
    taskId: textMember(members, 'task_id'),
    description: textMember(members, 'task_description'),
    from: textMember(members, 'from_addr'),
    to: textMember(members, 'to_addr'),
  }
}

/** The type of its frame says nothing to the reference, nor to us. */
export function decodeTaskResponse({ payload }: DataFrame): TaskResponse {
  const members = parseGoJson(payload)
  return {
    taskId: textMember(members, 'task_id'),
    status: integerMember(members, 'status'),
    message: textMember(members, 'message'),
  }
}

export function decodeTaskStatus(received: DataFrame): TaskStatusUpdate {
  const members = membersOf(received, TASK_FRAME.statusUpdate)
  return {
    taskId: textMember(members, 'task_id'),
    status: textMember(members, 'status'),
    justification: textMember(members, 'justification'),
  }
}

export function decodeTaskResults(received: DataFrame): TaskResults {
  const members = membersOf(received, TASK_FRAME.sendResults)
  return {
    taskId: textMember(members, 'task_id'),
    resultType: textMember(members, 'result_type'),
    text: textMember(members, 'result_text'),
    fileName: textMember(members, 'filename'),
    fileData: fileData(members.get('file_data')),
    completedAt: textMember(members, 'completed_at'),
    times: {
      idleMs: integerMember(members, 'time_idle_ms'),
      stagedMs: integerMember(members, 'time_staged_ms'),
      cpuMs: integerMember(members, 'time_cpu_ms'),
    },
  }
}

/** Base64 in which line ends are skipped, or a list of bytes, both as the reference takes them. */
function fileData(value: unknown): Uint8Array {
  if (value === undefined) return new Uint8Array(0)
  if (Array.isArray(value) && value.every((one) => Number.isInteger(one) && one >= 0 && one < 256))
    return Uint8Array.from(value as number[])
  const bytes = typeof value === 'string' ? fromBase64(value.replace(/[\r\n]/g, '')) : undefined
  if (bytes === undefined) throw new WireError('ERR_WIRE_VALUE', 'file_data must be base64')
  return bytes
}

function membersOf({ type, payload }: DataFrame, expected: number): ReturnType<typeof parseGoJson> {
  if (type !== expected) throw new WireError('ERR_WIRE_TYPE', `need type ${expected}, got ${type}`)
  return parseGoJson(payload)
}

function frame(type: number, members: Record<string, unknown>): Uint8Array {
  return encodeDataFrame(type, utf8(formatGoJson(members)))
}
