import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createLog } from '../../../../runtimes/node/daemon/log.ts'
import { DaemonTaskDesk } from '../../../../runtimes/node/daemon/task-desk.ts'
import { IpcServer } from '../../../../runtimes/node/ipc/server.ts'
import { TaskSubmitService } from '../../../../runtimes/shared/services/task-submit.ts'
import { FakeNetwork, type FakeNode } from '../fake-node.ts'
import { CliHarness } from './harness.ts'

const facts = { version: '0', owner: '', hasIdentity: true, beacon: '', transport: 'udp' } as const
const sides: { cli: CliHarness; server: IpcServer; desk: DaemonTaskDesk }[] = []
const scores = new Map<number, number>()
let boss: CliHarness
let worker: CliHarness

async function side(network: FakeNetwork, nodeId: number): Promise<CliHarness> {
  const node: FakeNode = network.add(nodeId)
  node.isPublic = true
  node.registry.request = async (message) => {
    const id = message.node_id as number
    if (message.type === 'update_polo_score')
      scores.set(id, (scores.get(id) ?? 0) + (message.delta as number))
    return { polo_score: scores.get(id) ?? 0 }
  }
  const cli = new CliHarness()
  const log = createLog(() => {}, 'error', 'text')
  const desk = new DaemonTaskDesk({ node, home: cli.home, log })
  const service = new TaskSubmitService({ desk, setTimer: () => () => {} })
  node.listen(1003).onconnection = (connection) => service.serve(connection)
  const server = await IpcServer.listen({ node, facts, socketPath: cli.socket })
  sides.push({ cli, server, desk })
  return cli
}

beforeEach(async () => {
  scores.clear()
  const network = new FakeNetwork()
  boss = await side(network, 1)
  worker = await side(network, 2)
})
afterEach(async () => {
  for (const { cli, server, desk } of sides.splice(0)) {
    await server.close()
    desk[Symbol.dispose]()
    cli.dispose()
  }
})

async function submit(text: string): Promise<string> {
  const { json } = await boss.run('task', 'submit', '2', '--task', text, '--json')
  expect(json).toMatchObject({
    target: '0:0000.0000.0002',
    task: text,
    status: 200,
    message: 'Task received with status NEW',
    accepted: true,
  })
  return `${json.task_id}`
}

async function stateOf(cli: CliHarness, taskId: string): Promise<unknown> {
  const { json } = await cli.run('task', 'list', '--json')
  return (json.tasks as { task_id: string }[]).find((one) => one.task_id === taskId)
}

it('takes a task from its submission to a file of results', async () => {
  const taskId = await submit('translate')
  expect((await worker.run('task', 'list', '--type', 'received')).stdout).toBe(
    `[received] ${taskId} (NEW) - translate\n  From: 0:0000.0000.0001 → To: 0:0000.0000.0002\n`,
  )
  expect((await worker.run('task', 'list', '--type', 'submitted')).stdout).toBe('No tasks found\n')
  expect(await worker.run('task', 'accept', '--id', taskId, '--json')).toMatchObject({
    code: 0,
    json: { task_id: taskId, status: 'ACCEPTED', message: 'Task accepted' },
  })
  await expect.poll(() => stateOf(boss, taskId)).toMatchObject({ status: 'ACCEPTED' })
  expect((await worker.run('task', 'queue', '--json')).json).toMatchObject({
    queue: [{ task_id: taskId, description: 'translate', from: '0:0000.0000.0001' }],
    count: 1,
  })
  expect((await worker.run('task', 'execute', '--json')).json).toEqual({
    task_id: taskId,
    task_description: 'translate',
    status: 'EXECUTING',
    from: '0:0000.0000.0001',
  })
  const path = join(worker.home, 'out.md')
  writeFileSync(path, 'traduction')
  const sent = await worker.run('task', 'send-results', '--id', taskId, '--file', path, '--json')
  expect(sent.json).toEqual({
    task_id: taskId,
    status: 'SUCCEEDED',
    sent_to: '0:0000.0000.0001',
    sent_type: 'file',
    filename: 'out.md',
    file_size: 10,
  })
  await expect.poll(() => stateOf(boss, taskId)).toMatchObject({ status: 'SUCCEEDED' })
  const results = join(boss.home, '.pilot', 'tasks', 'results')
  expect(readdirSync(results)).toEqual([`${taskId}_out.md`])
  expect(readFileSync(join(results, `${taskId}_out.md`), 'utf8')).toBe('traduction')
})

it('declines with a reason, and says of each wrong step what is wrong', async () => {
  const taskId = await submit('dig')
  for (const [argv, code, message] of [
    [['accept'], 'invalid_argument', '--id is required'],
    [['decline', '--id', taskId], 'invalid_argument', '--justification is required'],
    [['accept', '--id', '../../trust'], 'not_found', 'task not found: ../../trust'],
    [['execute'], 'not_found', 'no accepted tasks to execute'],
    [['send-results', '--id', taskId], 'invalid_argument', /^either --results or --file/],
    [['send-results', '--id', taskId, '--results', 'x'], 'invalid_state', /already NEW$/],
    [['list', '--type', 'all'], 'invalid_argument', /received or submitted/],
    [['submit', '2'], 'invalid_argument', '--task is required'],
  ] as const)
    expect(await worker.run('task', ...argv, '--json'), argv.join(' ')).toMatchObject({
      code: 1,
      stdout: '',
      json: {
        code,
        message: typeof message === 'string' ? message : expect.stringMatching(message),
      },
    })
  const declined = ['decline', '--id', taskId, '--justification', 'no spade']
  expect((await worker.run('task', ...declined, '--json')).json).toMatchObject({
    status: 'DECLINED',
    justification: 'no spade',
    message: 'Task declined',
  })
  await expect.poll(() => stateOf(boss, taskId)).toMatchObject({ status: 'DECLINED' })
  expect(await worker.run('task', ...declined, '--json')).toMatchObject({
    json: { code: 'invalid_state', message: `task ${taskId} is already DECLINED` },
  })
  const program = join(worker.home, 'virus.exe')
  writeFileSync(program, 'MZ')
  const other = await submit('more')
  await worker.run('task', 'accept', '--id', other)
  expect(
    await worker.run('task', 'send-results', '--id', other, '--file', program, '--json'),
  ).toMatchObject({ json: { code: 'invalid_argument', message: /"\.exe" not allowed/ } })
})

it('prints a refusal with exit 0 for scripts, 1 for people and with --strict', async () => {
  scores.set(2, 5)
  const refused = ['task', 'submit', '2', '--task', 'x']
  expect(await boss.run(...refused, '--json')).toMatchObject({
    code: 0,
    json: { accepted: false, status: 400, message: 'Polo score too low: submitter=0, receiver=5' },
  })
  expect((await boss.run(...refused, '--json', '--strict')).code).toBe(1)
  expect((await boss.run(...refused)).code).toBe(1)
})

it('accepts without a daemon, and says that nobody was told', async () => {
  const taskId = await submit('x')
  await sides[1]!.server.close()
  expect(await worker.run('task', 'accept', '--id', taskId, '--json')).toMatchObject({
    code: 0,
    json: { status: 'ACCEPTED', message: 'Task accepted (submitter notification failed)' },
  })
  mkdirSync(join(worker.home, 'x.txt'))
  const folder = ['task', 'send-results', '--id', taskId, '--file', join(worker.home, 'x.txt')]
  expect(await worker.run(...folder, '--json')).toMatchObject({
    code: 1,
    json: { code: 'internal_error' },
  })
})

it('tells the registry whether it takes tasks', async () => {
  expect((await worker.run('enable-tasks', '--json')).json).toMatchObject({ task_exec: true })
  expect((await worker.run('disable-tasks', '--json')).json).toMatchObject({ task_exec: false })
})
