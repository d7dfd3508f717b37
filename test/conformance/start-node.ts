/** Starts a node on Deno or Bun, or of the edge, with options as JSON, and prints `started`, or code and message of the error. */
import process from 'node:process'
import { PilotError } from '../../core/index.ts'

const [runtime = '', options = ''] = process.argv.slice(2)
// By name, each: an import that is computed needs permission to read in Deno.
const { createNode } =
  runtime === 'deno'
    ? await import('../../runtimes/deno/index.ts')
    : runtime === 'edge'
      ? await import('../../runtimes/edge/index.ts')
      : await import('../../runtimes/bun/index.ts')
try {
  const node = await createNode(JSON.parse(options))
  console.log('started')
  await node.close()
} catch (error) {
  console.log(error instanceof PilotError ? `${error.code} ${error.message}` : error)
}
