/** The worker on Bun. */
import { createNode } from '../../runtimes/bun/index.ts'
import { work } from './worker.ts'

await work('bun', createNode, process.argv[2])
