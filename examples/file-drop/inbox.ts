/** Stores files that pages drop, in a directory, and answers each with the SHA-256 of what it stored. */
import { createHash } from 'node:crypto'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { createNode, type PilotConnection } from 'pilot-ts/node'

const HEAD_BYTES = 4096
const FILE_BYTES = 256 * 1024 * 1024

const [directory = 'inbox', registry = '127.0.0.1:9000', beacon = '127.0.0.1:9001'] =
  process.argv.slice(2)
await mkdir(directory, { recursive: true })
const node = await createNode({ registry, beacon, hostname: 'inbox', isPublic: true })
console.log(`files for node ${node.nodeId} go to ${directory}`)
for await (const connection of node.listen(4000))
  store(connection).catch((error) => {
    console.log(`nothing stored: ${error.message}`)
    connection.reset()
  })

async function store({ id, readable, writable }: PilotConnection): Promise<void> {
  const pieces = readable[Symbol.asyncIterator]()
  const { name, size, first } = await readHead(pieces)
  const path = join(directory, `.${id}.part`)
  const file = await open(path, 'wx')
  const hash = createHash('sha256')
  let stored = 0
  try {
    let piece: Uint8Array | undefined = first
    while (piece !== undefined) {
      stored += piece.length
      if (stored > size) throw new Error('it is longer than it said')
      hash.update(piece)
      await file.write(piece)
      piece = (await pieces.next()).value
    }
    if (stored !== size) throw new Error(`${stored} of ${size} bytes came`)
    await file.close()
    await rename(path, join(directory, name))
  } catch (error) {
    await file.close()
    await rm(path, { force: true })
    throw error
  }
  console.log(`${name}: ${stored} bytes`)
  await new Response(hash.digest('hex')).body?.pipeTo(writable)
}

/** The line about the file, and what came with it. Whose name would leave the directory is not taken. */
async function readHead(
  pieces: AsyncIterator<Uint8Array>,
): Promise<{ name: string; size: number; first: Uint8Array }> {
  let head = Buffer.alloc(0)
  while (!head.includes('\n')) {
    const { value } = await pieces.next()
    if (value === undefined || head.length > HEAD_BYTES) throw new Error('no line about the file')
    head = Buffer.concat([head, value])
  }
  const end = head.indexOf('\n')
  const { name, size }: { name?: unknown; size?: unknown } = JSON.parse(
    head.toString('utf8', 0, end),
  )
  if (typeof name !== 'string' || name !== basename(name) || /^\.|^$/.test(name))
    throw new Error('that is no name of a file')
  if (typeof size !== 'number' || !(size >= 0 && size <= FILE_BYTES))
    throw new Error(`files have up to ${FILE_BYTES} bytes here`)
  return { name, size, first: head.subarray(end + 1) }
}
