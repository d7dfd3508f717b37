/** What the tests call in the page. */
import {
  type CreateNodeOptions,
  createNode,
  type NodeEvent,
  openIdentityVault,
  type PageNode,
} from '../../../runtimes/browser/index.ts'

let node: PageNode | undefined
let fate = ''
let waited = ''

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

/** What the tests take away: every WebRTC connection of this page. */
const connections: RTCPeerConnection[] = []
/** Channels that were not handed over to the worker: they can still be used here. */
const channels: RTCDataChannel[] = []
globalThis.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(configuration?: RTCConfiguration) {
    super(configuration)
    connections.push(this)
  }
  override createDataChannel(label: string, init?: RTCDataChannelInit): RTCDataChannel {
    const channel = super.createDataChannel(label, init)
    channels.push(channel)
    return channel
  }
}

const events: NodeEvent[] = []
/** What this page received, by port. */
const received: { bytes: number; hash: string }[] = []

const tab = {
  async join(
    rendezvous: string,
    hostname: string,
    { port = 4000, ...more }: Partial<CreateNodeOptions> & { port?: number } = {},
  ) {
    const name = hostname === '' ? {} : { hostname }
    node = await createNode({ rendezvous, isPublic: true, ...name, ...more })
    node.on((event) => events.push(event))
    if (port > 0) tab.serveEcho(port)
    return { nodeId: node.nodeId, hostname: node.hostname, isLeader: node.isLeader }
  },
  serveEcho(port: number) {
    current().listen(port).onconnection = (connection) => {
      void connection.readable.pipeTo(connection.writable).catch(() => {})
    }
  },
  /** Takes whatever comes to a port. */
  serveSink(port: number) {
    current().listen(port).onconnection = async (connection) => {
      const pieces: BlobPart[] = []
      let bytes = 0
      let longestMs = 0
      let at = performance.now()
      const silence = (): number => Math.max(longestMs, performance.now() - at)
      tab.longestSilence = () => {
        const ms = silence()
        longestMs = 0
        return ms
      }
      for await (const piece of connection.readable) {
        longestMs = silence()
        at = performance.now()
        bytes += piece.length
        pieces.push(new Uint8Array(piece))
        tab.progress = bytes
      }
      tab.longestSilence = () => longestMs
      connection.close()
      const all = new Uint8Array(await new Blob(pieces).arrayBuffer())
      received.push({ bytes, hash: await sha256(all) })
    }
  },
  progress: 0,
  /** Milliseconds without a byte, since this was last asked. */
  longestSilence: () => 0,
  received: () => received,
  /** Sends bytes to a sink; settles with their hash when the other end has acknowledged all. */
  async send(target: string, bytes: number) {
    const connection = await current().dial(target)
    const data = content(bytes)
    const writer = connection.writable.getWriter()
    for (let at = 0; at < bytes; at += 65_536) await writer.write(data.subarray(at, at + 65_536))
    await writer.close()
    return sha256(data)
  },
  /** How many WebRTC connections were taken away. */
  breakConnections() {
    const open = connections.filter(({ connectionState }) => connectionState === 'connected')
    for (const connection of open) connection.close()
    return open.length
  },
  /** As in a browser that does not let workers have channels. */
  keepChannels() {
    const postMessage: (message: unknown, transfer: Transferable[]) => void =
      MessagePort.prototype.postMessage
    MessagePort.prototype.postMessage = function (message: unknown, transfer?: unknown) {
      const moved: unknown[] = Array.isArray(transfer) ? transfer : []
      if (moved.some((one) => one instanceof RTCDataChannel))
        throw new DOMException('not here', 'DataCloneError')
      postMessage.call(this, message, moved as Transferable[])
    }
  },
  /** Channels whose events come here, not to the worker. */
  channelsOnPage: () => channels.filter(({ onmessage }) => onmessage !== null).length,
  events: (type: NodeEvent['type']) => events.filter((event) => event.type === type),
  isLeader: () => current().isLeader,
  /** Opens a stream that stays open; `fate` tells what became of it. */
  async hold(target: string) {
    const connection = await current().dial(target)
    fate = 'open'
    connection.closed.then(
      () => {
        fate = 'closed'
      },
      (error) => {
        fate = String(error.code)
      },
    )
  },
  fate: () => fate,
  /** Outcome of a call that is under way when the engine goes. */
  startWaiting() {
    void current()
      .trust.wait(4_000_000, 60_000)
      .then(
        () => {
          waited = 'settled'
        },
        (error) => {
          waited = String(error.code)
        },
      )
  },
  waited: () => waited,
  setHostname: (hostname: string) => current().setHostname(hostname),
  hostname: () => current().hostname,
  nodeId: () => current().nodeId,
  listenError(port: number) {
    try {
      current().listen(port)
      return ''
    } catch (error) {
      return (error as { code: string }).code
    }
  },
  async sendDatagram(target: string, port: number, text: string) {
    const address = await current().resolve(target)
    current().sendDatagram({ address, port }, new TextEncoder().encode(text))
  },
  datagrams() {
    const texts: string[] = []
    current().onDatagram(({ data }) => texts.push(new TextDecoder().decode(data)))
    tab.datagramTexts = () => texts
  },
  datagramTexts: (): string[] => [],
  /** Keeps this page's thread busy. */
  block(ms: number) {
    const until = Date.now() + ms
    while (Date.now() < until);
  },
  async trust(peerId: number) {
    await current().trust.request(peerId)
    return current().trust.wait(peerId, 10_000)
  },
  peers: () => current().peers(),
  drops: () => current().info().drops,
  ping: (target: string) => current().ping(target),
  /** Sends bytes to an echo and gives hash and time of what came back. */
  async echo(target: string, bytes: number, port = 4000) {
    const connection = await current().dial(`${target}:${port}`)
    const data = content(bytes)
    const started = performance.now()
    const writer = connection.writable.getWriter()
    const writing = writer.write(data)
    const back = new Uint8Array(bytes)
    let at = 0
    for await (const chunk of connection.readable) {
      back.set(chunk, at)
      at += chunk.length
      // Only now: the references answer an end of stream at once, whatever they have not sent yet.
      if (at === bytes) void writer.close()
    }
    await writing
    const [sent, received] = await Promise.all([sha256(data), sha256(back)])
    return { received: at, isEqual: sent === received, ms: performance.now() - started }
  },
  async say(target: string, text: string) {
    const connection = await current().dial(`${target}:4000`)
    const writer = connection.writable.getWriter()
    await writer.write(new TextEncoder().encode(text))
    await writer.close()
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
