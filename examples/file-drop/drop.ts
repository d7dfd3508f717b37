/** Sends the files dropped here to the node named `inbox`, and says so when that has the same bytes. */
import { createNode } from 'pilot-ts/browser'

const parameters = new URLSearchParams(location.search)
const rendezvous = parameters.get('rendezvous') ?? 'ws://127.0.0.1:8080'

const drop = document.querySelector<HTMLElement>('#drop')!
const input = document.querySelector<HTMLInputElement>('#file')!
const progress = document.querySelector<HTMLProgressElement>('#progress')!
const log = (text: string): void => document.querySelector('#log')!.append(`${text}\n`)

const node = await createNode({ rendezvous })
log(`this page is node ${node.nodeId}`)

/** A line about the file, its bytes; back comes the SHA-256 of what was stored. */
async function send(file: File): Promise<void> {
  const { readable, writable } = await node.dial('inbox:4000')
  const head = new TextEncoder().encode(`${JSON.stringify({ name: file.name, size: file.size })}\n`)
  const counting = new TransformStream<Uint8Array, Uint8Array>({
    transform(piece, controller) {
      progress.value += piece.length / file.size
      controller.enqueue(piece)
    },
  })
  progress.value = 0
  const writer = writable.getWriter()
  await writer.write(head)
  writer.releaseLock()
  // Ours is computed while theirs is: what is sent is held back by who receives.
  const [own] = await Promise.all([
    sha256(file),
    file.stream().pipeThrough(counting).pipeTo(writable),
  ])
  const theirs = await new Response(readable).text()
  log(
    theirs === own ? `${file.name}: stored, SHA-256 ${own}` : `${file.name}: NOT stored: ${theirs}`,
  )
}

async function sha256(file: File): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', await file.arrayBuffer())
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

async function sendAll(files: Iterable<File>): Promise<void> {
  for (const file of files)
    await send(file).catch((error) => log(`${file.name}: NOT sent: ${error.message}`))
}

input.onchange = () => sendAll(input.files ?? [])
drop.ondragover = (event) => event.preventDefault()
drop.ondrop = (event) => {
  event.preventDefault()
  void sendAll(event.dataTransfer?.files ?? [])
}
