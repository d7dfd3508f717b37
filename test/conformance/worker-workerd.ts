/** Starts workerd, has the worker in it do its work, and ends with it. */
import { join } from 'node:path'
import { startWorkerd } from '../runtimes/edge/workerd.ts'

const workerd = await startWorkerd({
  entry: join(import.meta.dirname, 'workerd-object.ts'),
  objects: { CONFORMANCE: 'ConformanceObject' },
})
try {
  const response = await fetch(workerd.url, { method: 'POST', body: process.argv[2] ?? '' })
  if (!response.ok) throw new Error(`workerd answered ${response.status}: ${await response.text()}`)
} finally {
  await workerd.close()
}
