/** What the tests call in the page. */
import { createNode, openIdentityVault, type PageNode } from '../../../runtimes/browser/index.ts'

let node: PageNode | undefined

function current(): PageNode {
  if (node === undefined) throw new Error('not joined')
  return node
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function content(bytes: number): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(bytes)
  for (let i = 0; i < bytes; i++) data[i] = (i * 31 + (i >> 8)) & 255
  return data
}

const tab = {
  async join(rendezvous: string, hostname: string, recoveryPassphrase?: string) {
    const recovery = recoveryPassphrase === undefined ? {} : { recoveryPassphrase }
    node = await createNode({ rendezvous, hostname, isPublic: true, ...recovery })
    node.listen(4000).onconnection = (connection) => {
      void connection.readable.pipeTo(connection.writable).catch(() => {})
    }
    return { nodeId: node.nodeId, hostname: node.hostname }
  },
  async trust(peerId: number) {
    await current().trust.request(peerId)
    return current().trust.wait(peerId, 10_000)
  },
  peers: () => current().peers(),
  drops: () => current().info().drops,
  ping: (target: string) => current().ping(target),
  /** Sends bytes to an echo and gives hash and time of what came back. */
  async echo(target: string, bytes: number) {
    const connection = await current().dial(`${target}:4000`)
    const data = content(bytes)
    const started = performance.now()
    const writer = connection.writable.getWriter()
    const writing = writer.write(data).then(() => writer.close())
    const back = new Uint8Array(bytes)
    let at = 0
    for await (const chunk of connection.readable) {
      back.set(chunk, at)
      at += chunk.length
    }
    await writing
    const [sent, received] = await Promise.all([sha256(data), sha256(back)])
    return { received: at, isEqual: sent === received, ms: performance.now() - started }
  },
  async identity() {
    const { protection, isExportable } = (await (await openIdentityVault()).status()) ?? {}
    return { protection, isExportable }
  },
  async exportIdentity(passphrase: string) {
    return Array.from(await (await openIdentityVault()).export(passphrase))
  },
  async importIdentity(bytes: number[], passphrase: string) {
    const vault = await openIdentityVault()
    return Array.from((await vault.import(Uint8Array.from(bytes), passphrase)).publicKey)
  },
  publicKey: () => Array.from(current().publicKey),
  leave: () => current().close(),
}

export type Tab = typeof tab
Object.assign(globalThis, { tab })
