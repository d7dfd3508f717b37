import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeDataFrame } from '../../../../core/service/data-exchange.ts'
import type { Task } from '../../../../core/service/task.ts'
import {
  encodeTaskRequest,
  encodeTaskResults,
  encodeTaskStatus,
  type TaskResults,
} from '../../../../core/service/task-message.ts'
import { createLog } from '../../../../runtimes/node/daemon/log.ts'
import { DaemonTaskDesk, dialTasks } from '../../../../runtimes/node/daemon/task-desk.ts'
import { TaskCalls } from '../../../../runtimes/node/tasks/task-calls.ts'
import { TaskStore } from '../../../../runtimes/node/tasks/task-store.ts'
import { AsyncStream } from '../../../../runtimes/shared/services/async-stream.ts'
import { TaskSubmitService } from '../../../../runtimes/shared/services/task-submit.ts'
import { FakeNetwork, type FakeNode } from '../fake-node.ts'

interface Side {
  readonly node: FakeNode
  readonly home: string
  readonly desk: DaemonTaskDesk
  readonly calls: TaskCalls
}

let nowMs = Date.parse('2026-02-27T12:00:00Z')
let scores: Map<number, number>
let changes: [node: number, delta: number][]
let network: FakeNetwork
/** Words for webhooks, by node. */
const told: [nodeId: number, name: string, data: Record<string, unknown>][] = []
let submitter: Side
let worker: Side
const sides: Side[] = []

function side(nodeId: number): Side {
  const node = network.add(nodeId)
  node.registry.request = async (message) => {
    const id = message.node_id as number
    if (message.type === 'update_polo_score') {
      changes.push([id, message.delta as number])
      scores.set(id, (scores.get(id) ?? 0) + (message.delta as number))
    }
    return { polo_score: scores.get(id) ?? 0 }
  }
  const home = mkdtempSync(join(tmpdir(), 'pilot-tasks-'))
  const now = (): number => nowMs
  const log = createLog(() => {}, 'error', 'text')
  const emit = (name: string, data?: object): void => {
    told.push([nodeId, name, { ...data }])
  }
  const desk = new DaemonTaskDesk({ node, home, log, emit, now })
  const service = new TaskSubmitService({ desk, setTimer: () => () => {} })
  node.listen(1003).onconnection = (connection) => service.serve(connection)
  const calls = new TaskCalls({ store: new TaskStore(home), dial: dialTasks(node, 1000), now })
  const made = { node, home, desk, calls }
  sides.push(made)
  return made
}

beforeEach(() => {
  told.length = 0
  scores = new Map()
  changes = []
  network = new FakeNetwork()
  submitter = side(1)
  worker = side(2)
})
afterEach(() => {
  for (const { desk, home } of sides.splice(0)) {
    desk[Symbol.dispose]()
    rmSync(home, { recursive: true })
  }
})

const file = (who: Side, path: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(who.home, '.pilot/tasks', path), 'utf8'))

const submit = async (): Promise<string> => {
  const { node, calls } = submitter
  const response = await calls.submit(node.address, worker.node.address, 'summarise <b>')
  expect(response).toMatchObject({ status: 200, message: 'Task received with status NEW' })
  return response.taskId
}

/** Writes raw frames as some node, closes, and returns what came back. */
async function raw(from: FakeNode, to: FakeNode, ...frames: Uint8Array[]): Promise<string> {
  const connection = await from.dial({ address: to.address, port: 1003 })
  const stream = new AsyncStream(connection)
  for (const frame of frames) await stream.write(frame).catch(() => {})
  connection.close()
  let text = ''
  for (let chunk = await stream.read(); chunk !== undefined; chunk = await stream.read())
    text += Buffer.from(chunk).toString('latin1')
  return text
}

const results = (taskId: string, more: Partial<TaskResults> = {}): Uint8Array =>
  encodeTaskResults({
    taskId,
    resultType: 'text',
    text: 'forged',
    fileName: '',
    fileData: new Uint8Array(0),
    completedAt: '',
    times: { idleMs: 0, stagedMs: 0, cpuMs: 0 },
    ...more,
  })

describe('a task', () => {
  it('goes from submission to paid results, in the files of the reference', async () => {
    const id = await submit()
    expect(file(worker, `received/${id}.json`)).toEqual({
      task_id: id,
      task_description: 'summarise <b>',
      created_at: new Date(nowMs).toISOString().replace('.000', ''),
      status: 'NEW',
      status_justification: 'A new task was created',
      from: '0:0000.0000.0001',
      to: '0:0000.0000.0002',
    })
    expect(statSync(join(worker.home, '.pilot/tasks/received', `${id}.json`)).mode & 0o777).toBe(
      0o600,
    )
    nowMs += 20_000
    expect(await worker.calls.accept(id)).toMatchObject({ notified: true })
    expect((await worker.calls.queue()).map((one) => one.taskId)).toEqual([id])
    await worker.desk.scan()
    nowMs += 60_000
    expect(await worker.calls.execute()).toMatchObject({ task: { status: 'EXECUTING' } })
    await expect(worker.calls.execute()).rejects.toMatchObject({ code: 'ERR_TASK_NOT_FOUND' })
    expect(file(submitter, `submitted/${id}.json`).status).toBe('EXECUTING')
    nowMs += 600_000
    await worker.calls.sendResults(id, { text: 'done' })
    expect(file(worker, `received/${id}.json`)).toMatchObject({
      status: 'SUCCEEDED',
      time_idle_ms: 20_000,
      time_staged_ms: 60_000,
      time_cpu_ms: 600_000,
    })
    expect(file(submitter, `submitted/${id}.json`).status).toBe('SUCCEEDED')
    const path = join(submitter.home, '.pilot/tasks/results', `${id}_result.txt`)
    expect(readFileSync(path, 'utf8')).toBe('done')
    expect(changes).toEqual([
      [2, 4],
      [1, -1],
    ])
    await expect(worker.calls.sendResults(id, { text: 'again' })).rejects.toMatchObject({
      code: 'ERR_TASK_STATE',
    })
    const from = '0:0000.0000.0002'
    expect(told).toEqual([
      [2, 'task.submitted', { task_id: id, from: '0:0000.0000.0001', size: 13 }],
      [1, 'task.status', { task_id: id, from, status: 'ACCEPTED' }],
      [1, 'task.status', { task_id: id, from, status: 'EXECUTING' }],
      [1, 'task.results', { task_id: id, from, type: 'text', size: 4 }],
      [1, 'task.status', { task_id: id, from, status: 'SUCCEEDED' }],
    ])
  })

  it('is refused to a node whose score is below ours, or not to be learned', async () => {
    scores.set(2, 5)
    const { node, calls } = submitter
    expect(await calls.submit(node.address, worker.node.address, 'x')).toMatchObject({
      status: 400,
      message: 'Polo score too low: submitter=0, receiver=5',
    })
    worker.node.registry.request = async () => ({ type: 'error' })
    expect(await calls.submit(node.address, worker.node.address, 'x')).toMatchObject({
      status: 400,
      message: 'Failed to verify polo score',
    })
    expect(await calls.list('submitted')).toEqual([])
    expect(await worker.calls.list('received')).toEqual([])
  })

  it('is declined with a reason that the submitter reads', async () => {
    const id = await submit()
    await worker.calls.decline(id, 'no time')
    expect(file(submitter, `submitted/${id}.json`)).toMatchObject({
      status: 'DECLINED',
      status_justification: 'no time',
    })
  })

  it('that nobody answers is cancelled after a minute, and the submitter told', async () => {
    const id = await submit()
    nowMs += 61_000
    await worker.desk.scan()
    expect(file(worker, `received/${id}.json`).status).toBe('CANCELLED')
    await expect.poll(() => file(submitter, `submitted/${id}.json`).status).toBe('CANCELLED')
    await expect(worker.calls.accept(id)).rejects.toMatchObject({ code: 'ERR_TASK_STATE' })
    expect(changes).toEqual([])
  })

  it('costs a point once when it blocks the queue for an hour, however often that is seen', async () => {
    const id = await submit()
    await worker.calls.accept(id)
    await worker.desk.scan()
    nowMs += 3_602_000
    await worker.desk.scan()
    await worker.desk.scan()
    expect(changes).toEqual([[2, -1]])
    await expect.poll(() => file(submitter, `submitted/${id}.json`).status).toBe('EXPIRED')
    await raw(worker.node, submitter.node, results(id))
    expect(changes).toEqual([[2, -1]])
  })

  it('sends files of listed kinds only', async () => {
    const id = await submit()
    await worker.calls.accept(id)
    const table = join(worker.home, 'out.csv')
    writeFileSync(table, 'a,b')
    writeFileSync(join(worker.home, 'run.sh'), '')
    await expect(
      worker.calls.sendResults(id, { path: join(worker.home, 'run.sh') }),
    ).rejects.toThrow('file type ".sh" not allowed for results')
    await worker.calls.sendResults(id, { path: table })
    expect(readdirSync(join(submitter.home, '.pilot/tasks/results'))).toEqual([`${id}_out.csv`])
  })
})

describe('task store', () => {
  it('changes a task by one at a time, however slow the disk and whoever died with the lock', async () => {
    const store = new TaskStore(worker.home)
    const id = await submit()
    mkdirSync(join(worker.home, '.pilot/tasks/.lock'))
    const old = new Date(Date.now() - 60_000)
    utimesSync(join(worker.home, '.pilot/tasks/.lock'), old, old)
    let inside = 0
    const change = async (task: Task): Promise<Task> => {
      expect(++inside).toBe(1)
      await new Promise((resolve) => setTimeout(resolve, 5))
      // As if this had taken longer than the lock counts.
      rmSync(join(worker.home, '.pilot/tasks/.lock'), { recursive: true })
      inside--
      return { ...task, description: `${task.description}.` }
    }
    await Promise.all(Array.from({ length: 5 }, () => store.update('received', id, change)))
    expect((await store.read('received', id))?.description).toBe('summarise <b>.....')
  })
})

describe('a hostile peer', () => {
  it('cannot name a file outside the folder, nor replace a task', async () => {
    const request = { description: 'x', from: '', to: '' }
    for (const taskId of ['../../trust', '..', 'a/b', ''])
      expect(
        await raw(submitter.node, worker.node, encodeTaskRequest({ ...request, taskId })),
      ).toContain('"status":400')
    const id = await submit()
    const again = encodeTaskRequest({ ...request, taskId: id })
    expect(await raw(submitter.node, worker.node, again)).toContain('Task id already known')
    expect(file(worker, `received/${id}.json`).task_description).toBe('summarise <b>')
    const evil = { resultType: 'file', fileName: '/../../../evil.sh', fileData: Uint8Array.of(1) }
    await raw(worker.node, submitter.node, results(id, evil))
    expect(readdirSync(join(submitter.home, '.pilot/tasks/results'))).toEqual([`${id}_evil.sh`])
    expect(readdirSync(submitter.home)).toEqual(['.pilot'])
  })

  it('cannot report on a task that was given to another', async () => {
    const stranger = network.add(3)
    const id = await submit()
    const update = encodeTaskStatus({ taskId: id, status: 'DECLINED', justification: 'x' })
    await raw(stranger, submitter.node, update, results(id))
    expect(file(submitter, `submitted/${id}.json`).status).toBe('NEW')
    expect(changes).toEqual([])
  })

  it('is paid once, and not for time that never was', async () => {
    const id = await submit()
    nowMs += 60_000
    const greedy = results(id, { times: { idleMs: -1e9, stagedMs: 0, cpuMs: 2 ** 50 } })
    await raw(worker.node, submitter.node, greedy, greedy)
    await raw(worker.node, submitter.node, greedy)
    expect(changes).toEqual([
      [2, 2],
      [1, -1],
    ])
  })

  it('keeps nobody else out with connections that say nothing', async () => {
    const stranger = network.add(4)
    const idle = []
    for (let i = 0; i < 100; i++)
      idle.push(await stranger.dial({ address: worker.node.address, port: 1003 }))
    expect(idle.filter((one) => one.state === 'ESTABLISHED')).toHaveLength(16)
    await submit()
    for (const one of idle) one.close()
  })

  it('is cut off for junk, without an answer', async () => {
    const junk = [encodeDataFrame(1, Buffer.from('{')), encodeDataFrame(9, Buffer.from('{}'))]
    for (const frame of junk) expect(await raw(submitter.node, worker.node, frame)).toBe('')
  })
})
