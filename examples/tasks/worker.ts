/**
 * An agent that takes the tasks which other nodes offer to the daemon of its user: accepts each, does it, and sends what
 * came of it. The task is a sentence, the result its words in order.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

interface Task {
  readonly task_id: string
  readonly description: string
  readonly status: string
}

const LOOK_MS = 500

async function pilotctl<T>(...args: readonly string[]): Promise<T> {
  const { stdout } = await promisify(execFile)('npx', ['pilotctl', '--json', ...args])
  return (JSON.parse(stdout) as { data: T }).data
}

await pilotctl('enable-tasks')
console.log('taking tasks')
for (;;) {
  const { tasks } = await pilotctl<{ tasks: readonly Task[] }>('task', 'list', '--type', 'received')
  for (const { task_id, description } of tasks.filter(({ status }) => status === 'NEW')) {
    await pilotctl('task', 'accept', '--id', task_id)
    await pilotctl('task', 'execute')
    const result = description.split(/\s+/).sort().join(' ')
    await pilotctl('task', 'send-results', '--id', task_id, '--results', result)
    console.log(`${description} -> ${result}`)
  }
  await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
}
