/** The worker on Bun. */
import { createNode } from '../../runtimes/bun/index.ts'
import { work } from './worker.ts'

await work({ runtime: 'bun', create: createNode, hasWebRtc: false, settings: process.argv[2] })
