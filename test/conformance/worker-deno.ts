/** The worker on Deno. */
import { createNode } from '../../runtimes/deno/index.ts'
import { work } from './worker.ts'

await work({ runtime: 'deno', create: createNode, hasWebRtc: false, settings: process.argv[2] })
