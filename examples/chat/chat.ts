/** Chat between pages: every message is a stream to the other's name; no server reads it. */
import { createNode, type PageNode, type PilotConnection } from 'pilot-ts/browser'

const PORT = 4000
const MESSAGE_BYTES = 4096
const rendezvous = new URLSearchParams(location.search).get('rendezvous') ?? 'ws://127.0.0.1:8080'

const join = document.querySelector<HTMLFormElement>('#join')!
const say = document.querySelector<HTMLFormElement>('#say')!
const log = (text: string): void => document.querySelector('#log')!.append(`${text}\n`)
const field = (form: HTMLFormElement, name: string): string => `${new FormData(form).get(name)}`

join.onsubmit = async (event) => {
  event.preventDefault()
  try {
    // Who is not public hears only nodes it trusts.
    const hostname = field(join, 'name')
    const node = await createNode({ rendezvous, hostname, isPublic: true, storageName: hostname })
    node.listen(PORT).onconnection = (connection) => {
      hear(connection).catch(() => connection.reset())
    }
    say.onsubmit = (submitted) => {
      submitted.preventDefault()
      const [peer, text] = [field(say, 'peer'), field(say, 'text')]
      send(node, peer, text).then(
        () => log(`to ${peer}: ${text}`),
        (error) => log(`not sent to ${peer}: ${error.message}`),
      )
    }
    join.hidden = true
    say.hidden = false
    log(`you are ${hostname}, node ${node.nodeId}`)
  } catch (error) {
    log(`${error}`)
  }
}

/** Settles when the other's node has acknowledged every byte. */
async function send(node: PageNode, peer: string, text: string): Promise<void> {
  const { writable } = await node.dial(`${peer}:${PORT}`)
  const message = JSON.stringify({ from: node.hostname, text })
  await new Response(message).body?.pipeTo(writable)
}

async function hear(connection: PilotConnection): Promise<void> {
  const bytes: number[] = []
  for await (const piece of connection.readable) {
    bytes.push(...piece)
    if (bytes.length > MESSAGE_BYTES) throw new Error('too long')
  }
  const message: { from?: unknown; text?: unknown } = JSON.parse(
    new TextDecoder().decode(new Uint8Array(bytes)),
  )
  // The name is what the sender says; the number is proven.
  log(`${message.from} (node ${connection.remote.address.node}): ${message.text}`)
  connection.close()
}
