/** The worker on Node. */
import { createNode } from '../../runtimes/node/index.ts'
import { work } from './worker.ts'

await work({ runtime: 'node', create: createNode, hasWebRtc: true, settings: process.argv[2] })
