import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PilotError, WireError } from '../../../core/errors.ts'
import { DataFrameDecoder } from '../../../core/service/data-exchange.ts'
import {
  acceptTask,
  ageTask,
  clampTimes,
  completedTask,
  declineTask,
  executeTask,
  formatTask,
  isTaskId,
  newTask,
  parseTask,
  stageTask,
  succeedTask,
  type Task,
  taskQueue,
  taskReward,
  updatedTask,
} from '../../../core/service/task.ts'
import {
  decodeTaskRequest,
  decodeTaskResponse,
  decodeTaskResults,
  decodeTaskStatus,
  encodeTaskRequest,
  encodeTaskResponse,
  encodeTaskResults,
  encodeTaskStatus,
  type TaskResults,
} from '../../../core/service/task-message.ts'
import { hex, type VectorCase, vectors } from '../../support.ts'

const ID = '01234567-89ab-cdef-0123-456789abcdef'
const START = Date.parse('2026-02-27T12:00:00Z')

function decode(parser: string, type: number, payload: Uint8Array): unknown {
  const frame = { type, payload }
  switch (parser) {
    case 'submit_request':
      return decodeTaskRequest(frame)
    case 'submit_response':
      return decodeTaskResponse(frame)
    case 'status_update':
      return decodeTaskStatus(frame)
    case 'send_results':
      return decodeTaskResults(frame)
    default:
      return parseTask(payload)
  }
}

const encoders: Record<string, (payload: Uint8Array) => Uint8Array> = {
  submit_request: (payload) => encodeTaskRequest(decodeTaskRequest({ type: 1, payload })),
  submit_response: (payload) => encodeTaskResponse(decodeTaskResponse({ type: 1, payload })),
  status_update: (payload) => encodeTaskStatus(decodeTaskStatus({ type: 3, payload })),
  send_results: (payload) => encodeTaskResults(decodeTaskResults({ type: 4, payload })),
}
const isOurs = (one: VectorCase): boolean => (one.message ?? one.parser) !== 'result'
/** What has no counterpart in JavaScript's values: numbers of other spellings, bytes that are no text. */
const LENIENT = [
  'status 200.0',
  'status 2e2',
  'send results time > 2^53',
  'negative and large times',
  'submit with invalid UTF-8 (description bytes 62616420ffc328206279746573)',
]

describe('tasksubmit.json', () => {
  it.each(
    vectors('tasksubmit', 'encode')
      .filter(isOurs)
      .filter((one) => !LENIENT.includes(one.name)),
  )('decodes and encodes the same bytes: $name', (one) => {
    expect(encoders[one.message]!(hex(one.payload_hex))).toEqual(hex(one.frame_hex))
  })

  it.each(vectors('tasksubmit', 'decode').filter(isOurs))(
    'decodes as the reference: $name',
    (one) => {
      const payload = hex(one.payload_hex ?? Buffer.from(one.payload).toString('hex'))
      if (one.verdict === 'reject' && !LENIENT.includes(one.name)) {
        expect(() => decode(one.parser, one.type, payload)).toThrow(WireError)
        return
      }
      const value = decode(one.parser, one.type, payload) as Record<string, unknown>
      if (one.verdict === 'reject') return
      for (const [name, expected] of Object.entries(one.value)) {
        if (name === 'file_data')
          expect(Buffer.from(value.fileData as Uint8Array).toString('base64')).toBe(expected)
        else if (name.startsWith('time_'))
          expect((value.times as Record<string, number>)[`${name.split('_')[1]}Ms`]).toBe(expected)
        else expect(value[OURS[name] ?? name]).toBe(expected)
      }
    },
  )

  it.each(vectors('tasksubmit', 'decode_frame'))('cuts frames as the reference: $name', (one) => {
    const decoder = new DataFrameDecoder()
    decoder.push(hex(one.hex))
    if (one.verdict === 'accept') expect(decoder.next()?.type).toBe(one.type)
    else if (/too large/.test(one.error_message)) expect(() => decoder.next()).toThrow(WireError)
    else expect(decoder.next()).toBeUndefined()
  })

  it.each(vectors('tasksubmit', 'task_file'))('writes the file: $name', (one) => {
    const bytes = hex(one.text_hex)
    expect(Buffer.from(formatTask(parseTask(bytes))).toString()).toBe(Buffer.from(bytes).toString())
  })

  it.each(vectors('tasksubmit', 'polo'))('reward $reward of $time_cpu_ms ms', (one) => {
    const times = { idleMs: one.time_idle_ms, stagedMs: one.time_staged_ms, cpuMs: one.time_cpu_ms }
    expect(taskReward(times)).toBe(one.reward)
  })
})

const OURS: Record<string, string> = {
  task_id: 'taskId',
  task_description: 'description',
  from_addr: 'from',
  to_addr: 'to',
  result_type: 'resultType',
  result_text: 'text',
  filename: 'fileName',
  completed_at: 'completedAt',
  created_at: 'createdAt',
  status_justification: 'justification',
}

const base = (): Task =>
  newTask({ taskId: ID, description: 'd', from: '0:0000.0000.0001', to: '0:0000.0000.0002' }, START)

describe('messages', () => {
  it('come back as they were, whatever text and bytes they hold', () => {
    const time = fc.integer({ min: 0, max: 2 ** 50 })
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.uint8Array(), time, (text, data, ms) => {
        const results: TaskResults = {
          taskId: text,
          resultType: 'file',
          text,
          fileName: text,
          fileData: data,
          completedAt: text,
          times: { idleMs: ms, stagedMs: ms, cpuMs: ms },
        }
        const decoder = new DataFrameDecoder()
        decoder.push(encodeTaskResults(results))
        const back = decodeTaskResults(decoder.next()!)
        const whole = text.toWellFormed()
        expect(back).toMatchObject({
          taskId: whole,
          text: whole,
          fileName: whole,
          times: results.times,
        })
        expect(Buffer.from(back.fileData).equals(data)).toBe(true)
      }),
    )
  })

  it('of any bytes are values or a WireError', () => {
    const parsers = [
      'submit_request',
      'submit_response',
      'status_update',
      'send_results',
      'task_file',
    ]
    const bytes = fc.oneof(
      fc.uint8Array(),
      fc.json().map((text) => Uint8Array.from(Buffer.from(text))),
    )
    fc.assert(
      fc.property(
        fc.constantFrom(...parsers),
        fc.nat({ max: 5 }),
        bytes,
        (parser, type, payload) => {
          try {
            decode(parser, type, payload)
          } catch (error) {
            expect(error).toBeInstanceOf(WireError)
          }
        },
      ),
    )
  })
})

describe('life cycle', () => {
  it('takes only ids that are file names', () => {
    expect(isTaskId(ID)).toBe(true)
    for (const bad of ['', '.', '..', '../x', 'a/b', 'a\\b', 'a.json', 'ä', 'x'.repeat(65), 'a\n'])
      expect(isTaskId(bad)).toBe(false)
  })

  it('measures waiting, staging and work, and pays for them', () => {
    const accepted = acceptTask(base(), START + 30_000)
    expect(accepted).toMatchObject({ status: 'ACCEPTED', times: { idleMs: 30_000 } })
    const staged = stageTask(accepted, START + 30_000)
    const executing = executeTask(staged, START + 330_000)
    expect(executing).toMatchObject({ status: 'EXECUTING', times: { stagedMs: 300_000 } })
    const done = succeedTask(executing, START + 930_000)
    expect(done).toMatchObject({ status: 'SUCCEEDED', completedAt: '2026-02-27T12:15:30Z' })
    expect(done.times).toEqual({ idleMs: 30_000, stagedMs: 300_000, cpuMs: 600_000 })
    expect(taskReward(done.times)).toBe(3)
  })

  it('refuses steps from the wrong state, and an answer after a minute', () => {
    const code = (work: () => unknown): string => {
      try {
        work()
      } catch (error) {
        if (error instanceof PilotError) return error.code
      }
      return ''
    }
    expect(code(() => acceptTask(base(), START + 61_000))).toBe('ERR_TASK_EXPIRED')
    const declined = declineTask(base(), 'no', START)
    expect(code(() => acceptTask(declined, START))).toBe('ERR_TASK_STATE')
    expect(code(() => executeTask(base(), START))).toBe('ERR_TASK_STATE')
    expect(code(() => succeedTask(declined, START))).toBe('ERR_TASK_STATE')
  })

  it('expires what waits at the head of the queue for over an hour, and nothing that is done', () => {
    const staged = stageTask(acceptTask(base(), START), START)
    expect(ageTask(staged, START + 3_600_000)).toBe(staged)
    expect(ageTask(staged, START + 3_601_000).status).toBe('EXPIRED')
    const done = succeedTask(staged, START + 1000)
    expect(ageTask(done, START + 1e9)).toBe(done)
    expect(ageTask(base(), START + 60_000).status).toBe('NEW')
    expect(ageTask(base(), START + 61_000).status).toBe('CANCELLED')
  })

  it('queues accepted tasks by the time of acceptance', () => {
    const second = acceptTask({ ...base(), taskId: 'a' }, START + 2000)
    const first = acceptTask({ ...base(), taskId: 'b' }, START + 1000)
    expect(taskQueue([second, base(), first]).map((one) => one.taskId)).toEqual(['b', 'a'])
  })

  it('lets results count once, and no update lead back', () => {
    const times = { idleMs: -5, stagedMs: 1e12, cpuMs: 1e12 }
    const completed = completedTask(base(), times, START + 10_000)!
    expect(completed.times).toEqual({ idleMs: 0, stagedMs: 10_000, cpuMs: 10_000 })
    expect(clampTimes(times, 0)).toEqual({ idleMs: 0, stagedMs: 0, cpuMs: 0 })
    expect(completedTask(completed, times, START)).toBeUndefined()
    const succeeded = updatedTask(completed, 'SUCCEEDED', 'ok')!
    for (const status of ['NEW', 'ACCEPTED', 'COMPLETED', 'EXPIRED', 'WHATEVER', ''])
      expect(updatedTask(succeeded, status, '')).toBeUndefined()
    expect(completedTask(succeeded, times, START)).toBeUndefined()
    expect(updatedTask(base(), 'COMPLETED', '')).toBeUndefined()
  })
})
