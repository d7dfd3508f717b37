/** Starts a node with what it is given, as JSON, and prints `started`, or code and message of the error. */
import { createNode, PilotError } from '../../runtimes/deno/index.ts'

try {
  const node = await createNode(JSON.parse(process.argv[2] ?? ''))
  console.log('started')
  await node.close()
} catch (error) {
  console.log(error instanceof PilotError ? `${error.code} ${error.message}` : error)
}
