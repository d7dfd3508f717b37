/** Tasks between two nodes: submission, acceptance, execution, results as a file; and a refusal. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Checks, eventually, expectEqual } from './checks.ts'
import type { Json, LiveNode } from './live-node.ts'

/** Both ways; the scores of both are 0 before, and after. */
export async function tasks(checks: Checks, a: LiveNode, b: LiveNode): Promise<void> {
  const way = `${a.name}>${b.name}`
  const back = `${b.name}>${a.name}`
  await checks.check(`task declined ${way}`, () => declined(a, b))
  await checks.check(`task ${way}`, () => done(a, b))
  await checks.check(`task refused ${way}`, () => refused(a, b))
  await checks.check(`task declined ${back}`, () => declined(b, a))
  await checks.check(`task ${back}`, () => done(b, a))
}

async function done(boss: LiveNode, worker: LiveNode): Promise<string> {
  const taskId = await submit(boss, worker, `work of ${boss.name}`)
  expectEqual((await worker.ctl(['task', 'accept', '--id', taskId])).status, 'ACCEPTED', 'accept')
  await told(boss, taskId, ['ACCEPTED'])
  const { queue } = await worker.ctl(['task', 'queue'])
  expectEqual(
    queue?.some((one: Json) => one.task_id === taskId),
    true,
    'in the queue',
  )
  const started = await worker.ctl(['task', 'execute'])
  expectEqual(started.task_id, taskId, 'task executed')
  const path = join(worker.home, 'result.txt')
  writeFileSync(path, `done for ${boss.name}`)
  const sent = await worker.ctl(['task', 'send-results', '--id', taskId, '--file', path])
  expectEqual(sent.status, 'SUCCEEDED', 'send-results')
  expectEqual(sent.sent_to, boss.address, 'sent_to')
  // Base and v1.9 never read the word after the results (spec/07 §8.4).
  await told(boss, taskId, ['COMPLETED', 'SUCCEEDED'])
  const file = join(boss.home, '.pilot', 'tasks', 'results', `${taskId}_result.txt`)
  expectEqual(readFileSync(file, 'utf8'), `done for ${boss.name}`, 'results')
  return taskId
}

async function declined(boss: LiveNode, worker: LiveNode): Promise<undefined> {
  const taskId = await submit(boss, worker, 'more work')
  const words = ['task', 'decline', '--id', taskId, '--justification', 'not today']
  expectEqual((await worker.ctl(words)).status, 'DECLINED', 'decline')
  await told(boss, taskId, ['DECLINED'])
  const { code, stderr } = await worker.run(words)
  expectEqual(code, 1, 'exit code of a second decline')
  expectEqual(JSON.parse(stderr).code, 'invalid_state', 'code of a second decline')
}

/** Who gave work has a point less, who did it one more: base refuses what comes from below (spec/07 §8.2). */
async function refused(boss: LiveNode, worker: LiveNode): Promise<string> {
  const { code, stdout } = await boss.run(['task', 'submit', worker.hostname, '--task', 'too much'])
  const { data } = JSON.parse(stdout)
  expectEqual(code, 0, 'exit code')
  expectEqual(data.accepted, false, 'accepted')
  expectEqual(data.message, 'Polo score too low: submitter=-1, receiver=1', 'message')
  return data.message
}

async function submit(boss: LiveNode, worker: LiveNode, text: string): Promise<string> {
  const answer = await boss.ctl(['task', 'submit', worker.hostname, '--task', text])
  expectEqual(answer.message, 'Task received with status NEW', 'message')
  expectEqual(answer.accepted, true, 'accepted')
  const { tasks } = await worker.ctl(['task', 'list', '--type', 'received'])
  const found = tasks?.find((one: Json) => one.task_id === answer.task_id)
  expectEqual(found?.description, text, 'description')
  expectEqual(found?.from, boss.address, 'from')
  return answer.task_id
}

async function told(node: LiveNode, taskId: string, statuses: readonly string[]): Promise<void> {
  await eventually(5000, `${node.name} is told ${statuses.join(' or ')}`, async () => {
    const { tasks } = await node.ctl(['task', 'list', '--type', 'submitted'])
    const status = tasks?.find((one: Json) => one.task_id === taskId)?.status
    return statuses.includes(status)
  })
}
