/**
 * An agent that computes for others without getting slow: the node is on the main thread, the work is done by worker
 * threads, at most so many questions at a time; who comes when all are busy is told so.
 */
import { Worker } from 'node:worker_threads'
import { createNode, type PilotConnection } from 'pilot-ts/node'

const WORKERS = 2
const QUESTION_BYTES = 64

const [registry = '127.0.0.1:9000', beacon = '127.0.0.1:9001', question] = process.argv.slice(2)
const name = question === undefined ? { hostname: 'primes', isPublic: true } : {}
const node = await createNode({ registry, beacon, ...name })
let busy = 0

async function answer({ readable, writable }: PilotConnection): Promise<void> {
  let text = ''
  for await (const piece of readable) {
    text += new TextDecoder().decode(piece)
    if (text.length > QUESTION_BYTES) throw new Error('that is no number')
  }
  const reply = busy < WORKERS ? await compute(Number(text)) : 'busy, ask again'
  await new Response(reply).body?.pipeTo(writable)
}

/** Settles with the worker's answer; a worker that dies is an answer too. */
async function compute(limit: number): Promise<string> {
  busy++
  const worker = new Worker(new URL('primes.ts', import.meta.url), { workerData: limit })
  try {
    return await new Promise((resolve, reject) => {
      worker.once('message', resolve).once('error', reject)
    })
  } catch (error) {
    return `failed: ${error}`
  } finally {
    busy--
    await worker.terminate()
  }
}

if (question === undefined) {
  console.log(`primes is node ${node.nodeId}`)
  for await (const connection of node.listen(4000))
    answer(connection).catch(() => connection.reset())
} else {
  const { readable, writable } = await node.dial('primes:4000')
  await new Response(question).body?.pipeTo(writable)
  console.log(await new Response(readable).text())
  await node.close()
}
