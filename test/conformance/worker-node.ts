/** The worker on Node. */
import { createNode } from '../../runtimes/node/index.ts'
import { work } from './worker.ts'

await work('node', createNode, process.argv[2])
