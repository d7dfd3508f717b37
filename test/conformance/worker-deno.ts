/** The worker on Deno. */
import { createNode } from '../../runtimes/deno/index.ts'
import { work } from './worker.ts'

await work('deno', createNode, process.argv[2])
