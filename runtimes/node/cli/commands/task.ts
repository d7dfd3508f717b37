/** `task`: give work to another node, and do what others gave (spec/08 §3.5, spec/07 §8). */
import { statSync } from 'node:fs'
import { basename } from 'node:path'
import type { Command } from 'commander'
import { PORT } from '../../../../core/constants.ts'
import { PilotError } from '../../../../core/errors.ts'
import { type Address, formatAddress, parseAddress } from '../../../../core/wire/address.ts'
import { TaskCalls, type TaskChannel, type TaskStep } from '../../tasks/task-calls.ts'
import { type TaskBox, TaskStore } from '../../tasks/task-store.ts'
import type { Cli, Target } from '../cli.ts'
import { Deadline } from '../deadline.ts'
import { CliError, messageOf, requestFailure, usageError } from '../failure.ts'
import { isTrue, parseDuration } from '../values.ts'

/** Longest time for telling the other side of a step, which counts here even where nobody can be told. */
const NOTIFY_MS = 10_000
const LIST_HINT = 'check pilotctl task list --type received'

export function addTaskCommands(program: Command, cli: Cli): void {
  const task = program.command('task').description('Work for other nodes, and work of others')

  task
    .command('submit')
    .description('Offer a task to a node; refused where its polo score is above ours')
    .argument('<target>', 'address, node id or hostname')
    .option('--task <text>', 'what is to be done')
    .option('--timeout <duration>', 'longest wait for the answer', '30s')
    .option('--strict [bool]', 'exit 1 when the task was refused, with --json too')
    .action(submit.bind(undefined, cli))

  task
    .command('accept')
    .description('Take a task, within a minute after it came')
    .option('--id <task_id>', 'the task')
    .action((flags: { id?: string }) =>
      answer(cli, flags.id, {}, 'accepted', (calls, id) => calls.accept(id)),
    )

  task
    .command('decline')
    .description('Refuse a task that was neither taken nor refused yet')
    .option('--id <task_id>', 'the task')
    .option('--justification <text>', 'why; the submitter reads it')
    .action((flags: { id?: string; justification?: string }) => {
      const { justification = '' } = flags
      requireId(flags.id)
      if (justification === '') throw usageError('--justification is required')
      return answer(cli, flags.id, { justification }, 'declined', (calls, id) =>
        calls.decline(id, justification),
      )
    })

  task
    .command('execute')
    .description('Start the task that was accepted first, and print it')
    .action(async () => {
      const { task: started } = await run(cli, (calls) => calls.execute())
      cli.result({
        task_id: started.taskId,
        task_description: started.description,
        status: started.status,
        from: started.from,
      })
    })

  task
    .command('send-results')
    .description('Send what came of a task to its submitter')
    .option('--id <task_id>', 'the task')
    .option('--results <text>', 'results as text')
    .option('--file <path>', 'results as a file of an allowed kind, at most 12 MB')
    .action(sendResults.bind(undefined, cli))

  task
    .command('list')
    .description('Tasks of this home')
    .option('--type <type>', 'received or submitted; both when absent')
    .action(list.bind(undefined, cli))

  task
    .command('queue')
    .description('Accepted tasks, in the order in which execute starts them')
    .action(async () => {
      const queue = await run(cli, (calls) => calls.queue())
      cli.result(
        {
          queue: queue.map((one) => ({
            task_id: one.taskId,
            description: one.description,
            from: one.from,
            created_at: one.createdAt,
          })),
          count: queue.length,
        },
        queue.length === 0
          ? ['Queue is empty']
          : [
              `Queued tasks (${queue.length}):`,
              ...queue.map(
                (one, at) => `  ${at + 1}. ${one.taskId} - ${one.description} (from ${one.from})`,
              ),
            ],
      )
    })

  for (const isEnabled of [true, false])
    program
      .command(isEnabled ? 'enable-tasks' : 'disable-tasks')
      .description(
        isEnabled
          ? 'Tell the registry that this node takes tasks'
          : 'Tell the registry that this node takes no tasks',
      )
      .action(async () => {
        const label = isEnabled ? 'enable-tasks' : 'disable-tasks'
        cli.result(
          await cli.request(label, (daemon) =>
            daemon.requestJson({ type: 'set-task-exec', enabled: isEnabled }),
          ),
        )
      })
}

async function submit(
  cli: Cli,
  typed: string,
  flags: { task?: string; timeout: string; strict?: string },
): Promise<void> {
  const { task: description = '' } = flags
  if (description === '') throw usageError('--task is required')
  const timeoutMs = parseDuration(flags.timeout, 'timeout')
  const target = await cli.target(typed)
  const info = await cli.request('info', (daemon) => daemon.info())
  using deadline = new Deadline(timeoutMs, cli.io.signal)
  const from = parseAddress(`${info.address}`)
  const { taskId, status, message } = await run(
    cli,
    (calls) => calls.submit(from, target.address, description),
    deadline,
    target,
  ).catch((error: unknown) => {
    throw deadline.isOver
      ? new CliError('timeout', `no answer within ${flags.timeout}`, undefined, { cause: error })
      : error
  })
  const accepted = status === 200
  if (!accepted) cli.failSoftly(flags.strict !== undefined && isTrue(flags.strict))
  cli.result({ target: target.text, task_id: taskId, task: description, status, message, accepted })
}

/** Accepts or declines. */
async function answer(
  cli: Cli,
  typed: string | undefined,
  members: Record<string, string>,
  verb: string,
  step: (calls: TaskCalls, taskId: string) => Promise<TaskStep>,
): Promise<void> {
  const taskId = requireId(typed)
  using deadline = new Deadline(NOTIFY_MS, cli.io.signal)
  const { task, notified } = await run(cli, (calls) => step(calls, taskId), deadline)
  cli.result({
    task_id: task.taskId,
    status: task.status,
    ...members,
    message: `Task ${verb}${notified ? '' : ' (submitter notification failed)'}`,
  })
}

async function sendResults(
  cli: Cli,
  flags: { id?: string; results?: string; file?: string },
): Promise<void> {
  const taskId = requireId(flags.id)
  const { results, file } = flags
  if (results === undefined && file === undefined)
    throw usageError('either --results or --file is required')
  const task = await run(cli, (calls) =>
    calls.sendResults(taskId, file === undefined ? { text: results ?? '' } : { path: file }),
  )
  cli.result({
    task_id: task.taskId,
    status: task.status,
    sent_to: task.from,
    sent_type: file === undefined ? 'text' : 'file',
    ...(file !== undefined && { filename: basename(file), file_size: statSync(file).size }),
  })
}

async function list(cli: Cli, { type }: { type?: string }): Promise<void> {
  if (type !== undefined && type !== 'received' && type !== 'submitted' && type !== '')
    throw usageError(`invalid --type ${JSON.stringify(type)}: received or submitted`)
  const boxes: TaskBox[] =
    type === undefined || type === '' ? ['received', 'submitted'] : [type as TaskBox]
  const tasks: Record<string, unknown>[] = []
  const lines: string[] = []
  for (const box of boxes)
    for (const one of await run(cli, (calls) => calls.list(box))) {
      tasks.push({
        task_id: one.taskId,
        description: one.description,
        status: one.status,
        from: one.from,
        to: one.to,
        created_at: one.createdAt,
        category: box,
      })
      lines.push(
        `[${box}] ${one.taskId} (${one.status}) - ${one.description}`,
        `  From: ${one.from} → To: ${one.to}`,
      )
    }
  cli.result({ tasks }, lines.length === 0 ? ['No tasks found'] : lines)
}

function requireId(id: string | undefined): string {
  if (id === undefined || id === '') throw usageError('--id is required')
  return id
}

/** `target`: a dial that fails is explained, not only reported. */
async function run<T>(
  cli: Cli,
  work: (calls: TaskCalls) => Promise<T>,
  deadline?: Deadline,
  target?: Target,
): Promise<T> {
  const signal = deadline?.signal ?? cli.io.signal
  const calls = new TaskCalls({
    store: new TaskStore(cli.io.home),
    dial: (to) => dial(cli, to, signal, target),
  })
  try {
    return await work(calls)
  } catch (error) {
    throw failureOf(error)
  }
}

async function dial(
  cli: Cli,
  to: Address,
  signal: AbortSignal,
  target: Target | undefined,
): Promise<TaskChannel> {
  const text = formatAddress(to)
  const connection = await cli.dial(
    target ?? { address: to, text, typed: text, isPublic: undefined },
    PORT.taskSubmit,
    { place: `(task submit port ${PORT.taskSubmit})`, signal },
  )
  return {
    read: () => connection.read({ signal }),
    write: (data) => connection.write(data),
    close: async () => connection.close(),
  }
}

function failureOf(error: unknown): CliError {
  if (error instanceof CliError) return error
  const of = (code: CliError['code'], hint?: string): CliError =>
    new CliError(code, messageOf(error), hint, { cause: error })
  if (error instanceof PilotError)
    switch (error.code) {
      case 'ERR_TASK_NOT_FOUND':
        return of('not_found', /^task not found/.test(error.message) ? LIST_HINT : undefined)
      case 'ERR_TASK_STATE':
        return of('invalid_state')
      case 'ERR_TASK_EXPIRED':
        return of('expired')
      case 'ERR_STORE_IO':
      case 'ERR_STORE_CORRUPT':
        return of('internal_error')
      case 'ERR_INVALID_ARGUMENT':
        return of('invalid_argument')
      default:
        return requestFailure('task', error)
    }
  return (error as NodeJS.ErrnoException).code === 'ENOENT' ? of('not_found') : of('internal_error')
}
