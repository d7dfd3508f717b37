/** Everything two nodes that trust each other do: ping, messages, files, events, raw ports, echo. */
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Checks, eventually, expectEqual, seconds } from './checks.ts'
import type { Json, LiveNode } from './live-node.ts'

const FILE_BYTES = 300 * 1024
const LARGE_FILE_BYTES = 3 * 1024 * 1024
const BENCH_BYTES = 1024 * 1024
const RAW_PORT = 5000

let serial = 0

/** All of it in one direction: `from` acts on `to`. */
export async function traffic(checks: Checks, from: LiveNode, to: LiveNode): Promise<void> {
  const way = `${from.name}>${to.name}`
  await checks.check(`ping ${way}`, () => ping(from, to))
  await checks.check(`encrypted ${way}`, () => expectSecure(from, to))
  await checks.quiet(`ping ${way}`, [from, to])
  await checks.check(`send-message ${way}`, () => message(from, to))
  await checks.check(`send-file 300 KB ${way}`, () => file(from, to))
  // More than one frame of the local socket, which only our daemons take (spec/06 §13), whoever sends it.
  if (from.kind === 'ours')
    await checks.check(`send-file 3 MB ${way}`, () => file(from, to, LARGE_FILE_BYTES))
  await checks.quiet(`file ${way}`, [from, to])
  await checks.check(`subscribe+publish ${way}`, () => events(from, to, from))
  await checks.check(`connect --message ${way}`, () => raw(from, to, 'connect'))
  await checks.check(`send+recv ${way}`, () => raw(from, to, 'send'))
  if (to.kind === 'ours')
    await checks.check(`connect, port 1000 ${way}`, () => standardIo(from, to))
  await checks.quiet(`events, raw ${way}`, [from, to])
  await checks.check(`bench 1 MB ${way}`, () => bench(from, to))
  await checks.quiet(`bench ${way}`, [from, to])
}

/** The short form: once each, without the waiting for silence. */
export async function story(
  checks: Checks,
  from: LiveNode,
  to: LiveNode,
  hasBench: boolean,
): Promise<void> {
  const way = `${from.name}>${to.name}`
  await checks.check(`ping ${way}`, () => ping(from, to))
  await checks.check(`encrypted ${way}`, () => expectSecure(from, to))
  await checks.check(`send-message ${way}`, () => message(from, to))
  await checks.check(`send-file 300 KB ${way}`, () => file(from, to))
  await checks.check(`subscribe+publish ${way}`, () => events(from, to, from))
  await checks.check(`send+recv ${way}`, () => raw(from, to, 'send'))
  if (hasBench) await checks.check(`bench 1 MB ${way}`, () => bench(from, to))
}

export async function ping(from: LiveNode, to: LiveNode): Promise<string> {
  const { results } = await from.ctl(['ping', to.hostname, '--count', '2', '--timeout', '10s'])
  expectEqual(results?.length, 2, 'ping results')
  for (const [i, one] of results.entries()) {
    if (one.error !== undefined) throw new Error(`ping ${i}: ${one.error}`)
    // The echo of `ping-<seq>`.
    expectEqual(one.bytes, 6, 'bytes echoed')
  }
  return results.map((one: Json) => `${one.rtt_ms.toFixed(1)} ms`).join(', ')
}

/** One try with a short patience, for those who wait for a peer to come back. */
export async function pingOnce(from: LiveNode, to: LiveNode): Promise<boolean> {
  const { results } = await from.ctl(['ping', to.address, '--count', '1', '--timeout', '3s'], 4000)
  return results?.[0] !== undefined && results[0].error === undefined
}

export async function expectSecure(from: LiveNode, to: LiveNode): Promise<string> {
  const { peers } = await from.ctl(['peers'])
  const peer = peers?.find((one: Json) => one.node_id === to.nodeId)
  if (peer === undefined) throw new Error(`${to.name} is not among the peers of ${from.name}`)
  expectEqual(peer.encrypted, true, 'peers: encrypted')
  expectEqual(peer.authenticated, true, 'peers: authenticated')
  const info = await from.ctl(['info'])
  if (!(info.encrypted_peers >= 1 && info.authenticated_peers >= 1))
    throw new Error(`info counts ${info.encrypted_peers}/${info.authenticated_peers} secure peers`)
  return peer.endpoint
}

export async function message(from: LiveNode, to: LiveNode): Promise<string> {
  const text = `message ${++serial} from ${from.name}: "ü" & <b>`
  const { ack } = await from.ctl(['send-message', to.hostname, '--data', text])
  await eventually(5000, `"${text}" in the inbox of ${to.name}`, async () => {
    const { messages } = await to.ctl(['inbox'])
    const found = messages?.find((one: Json) => one.data === text)
    if (found === undefined) return undefined
    expectEqual(found.from, from.address, 'from')
    expectEqual(found.type, 'TEXT', 'type')
    return true
  })
  const bytes = Buffer.byteLength(text)
  expectEqual(ack, `ACK TEXT ${bytes} bytes`, 'ack')
  return ack
}

export async function file(from: LiveNode, to: LiveNode, size = FILE_BYTES): Promise<string> {
  const bytes = randomBytes(size)
  const name = `file${++serial}`
  const path = join(from.home, `${name}.bin`)
  writeFileSync(path, bytes)
  const started = performance.now()
  const data = await from.ctl(['send-file', to.hostname, path])
  const ms = performance.now() - started
  expectEqual(data.bytes, size, 'bytes')
  const folder = join(to.home, '.pilot', 'received')
  const arrived = await eventually(5000, `${name}.bin at ${to.name}`, async () =>
    readdirSync(folder).find((one) => one.startsWith(`${name}-`) && one.endsWith('.bin')),
  )
  expectEqual(sha256(readFileSync(join(folder, arrived))), sha256(bytes), 'sha256 of the copy')
  const { files } = await to.ctl(['received'])
  const listed = files?.find((one: Json) => one.name === arrived)
  expectEqual(listed?.bytes, size, 'bytes in "received"')
  return `${seconds(ms)}, ${data.ack ?? 'no ack'}`
}

/** `from` subscribes at the broker of `to`, `publisher` publishes there. */
export async function events(from: LiveNode, to: LiveNode, publisher: LiveNode): Promise<string> {
  const topic = `topic/${++serial}`
  const text = `event ${serial}`
  const subscriber = from.ctl(
    ['subscribe', to.hostname, topic, '--count', '1', '--timeout', '12s'],
    20_000,
  )
  // Nothing tells when the subscription is in place (spec/07 §7.2 rule 5): publish until it is seen.
  let isOver = false
  const over = subscriber.then(
    () => {
      isOver = true
    },
    () => {
      isOver = true
    },
  )
  let published = 0
  while (!isOver && published < 20) {
    await Promise.race([sleep(250), over])
    if (isOver) break
    const sent = await publisher.ctl(['publish', to.hostname, topic, '--data', text])
    expectEqual(sent.bytes, text.length, 'published bytes')
    published++
  }
  const { events: got } = await subscriber
  expectEqual(got?.[0]?.topic, topic, 'topic')
  expectEqual(got?.[0]?.data, text, 'data')
  return `published ${published} times`
}

export async function raw(
  from: LiveNode,
  to: LiveNode,
  command: 'connect' | 'send',
): Promise<string> {
  const port = `${RAW_PORT + (++serial % 1000)}`
  const text = `raw ${serial} über ${command}`
  const receiving = to.ctl(['recv', port, '--count', '1', '--timeout', '15s'], 20_000)
  receiving.catch(() => {}) // reported below
  const flag = command === 'connect' ? '--message' : '--data'
  const sent = await eventually(10_000, `${command} to port ${port}`, () =>
    from.ctl([command, to.hostname, port, flag, text, '--timeout', '5s'], 8000),
  )
  expectEqual(sent.sent, text, 'sent')
  const { messages } = await receiving
  expectEqual(messages?.[0]?.data, text, 'data received')
  expectEqual(messages?.[0]?.bytes, Buffer.byteLength(text), 'bytes received')
  return `${messages[0].bytes} bytes`
}

/** Our daemon answers on port 1000 and keeps what was said. */
async function standardIo(from: LiveNode, to: LiveNode): Promise<string> {
  const text = `standard ${++serial}`
  const { response } = await from.ctl(['connect', to.hostname, '--message', text])
  expectEqual(response?.trim(), `ACK TEXT ${text.length} bytes`, 'response')
  const { messages } = await to.ctl(['inbox'])
  expectEqual(
    messages?.some((one: Json) => one.data === text),
    true,
    'in the inbox',
  )
  return response.trim()
}

export async function bench(from: LiveNode, to: LiveNode): Promise<string> {
  const data = await from.ctl(['bench', to.hostname, '1', '--timeout', '30s'], 40_000)
  expectEqual(data.sent_bytes, BENCH_BYTES, 'sent_bytes')
  expectEqual(data.recv_bytes, BENCH_BYTES, 'recv_bytes')
  return `${data.total_mbps.toFixed(1)} MiB/s there and back`
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
