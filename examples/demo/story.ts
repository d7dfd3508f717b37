/** The story of the demo: what two people would type on two machines, told as it happens. */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { styleText } from 'node:util'
import { Hosts } from './hosts.ts'
import { type Agent, Stage } from './stage.ts'

const FILE_BYTES = 64 << 20
const isStaying = process.argv.includes('--stay')

function title(text: string): void {
  console.log(`\n${styleText('bold', text)}`)
}
function done(text: string): void {
  console.log(`  ${styleText('green', '✓')} ${text}`)
}
function typed(agent: Agent, command: string): void {
  console.log(styleText('dim', `  ${agent.name}$ pilotctl ${command}`))
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** A file that does not compress, written in pieces. */
async function writeFile(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'w')
  for (let written = 0; written < bytes; written += 1 << 20) await file.write(randomBytes(1 << 20))
  await file.close()
}

async function waitFor(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`waited 20 s in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function start(stage: Stage): Promise<[Agent, Agent]> {
  title('A rendezvous and two agents')
  await stage.startRendezvous()
  done(`rendezvous on ${stage.registry}, status page ${stage.statusUrl}`)
  const agents: Agent[] = []
  for (const name of ['agent-a', 'agent-b']) {
    const home = join(stage.directory, name)
    await mkdir(home, { mode: 0o700 })
    const agent = stage.addAgent(name, home)
    typed(agent, `daemon start --hostname ${name}`)
    const { address } = await agent.start()
    done(
      `${name} is ${styleText('cyan', String(address))}, for good: the address belongs to its key`,
    )
    agents.push(agent)
  }
  return agents as [Agent, Agent]
}

async function trust(a: Agent, b: Agent): Promise<void> {
  title('Trust, given by both sides')
  const { node_id: idOfB } = await b.ctl('info')
  typed(b, 'handshake agent-a "we should talk"')
  await b.ctl('handshake', 'agent-a', 'we should talk')
  await waitFor('the request to arrive', async () => {
    const { pending } = await a.ctl('pending')
    return (pending as unknown[]).length > 0
  })
  typed(a, 'pending')
  const { pending } = await a.ctl('pending')
  const [request] = pending as { node_id: number; justification: string }[]
  done(`agent-a sees: node ${request?.node_id} asks, "${request?.justification}"`)
  typed(a, `approve ${idOfB}`)
  await a.ctl('approve', String(idOfB))
  await waitFor('the approval to arrive', async () => {
    const { trusted } = await b.ctl('trust')
    return (trusted as unknown[]).length > 0
  })
  done('agent-a and agent-b trust each other')
}

async function tunnel(b: Agent): Promise<void> {
  title('An encrypted tunnel')
  typed(b, 'ping agent-a')
  const { results } = await b.ctl('ping', 'agent-a', '--count', '4')
  const times = (results as { rtt_ms?: number; error?: string }[]).map((result) => {
    if (result.rtt_ms === undefined) throw new Error(`ping failed: ${result.error}`)
    return result.rtt_ms
  })
  const { peers } = await b.ctl('peers')
  const [peer] = peers as { path: string; encrypted: boolean; endpoint: string }[]
  if (peer?.encrypted !== true) throw new Error('the tunnel is not encrypted')
  const best = `${Math.min(...times).toFixed(1)} ms`
  if (peer.path === 'direct') done(`direct tunnel · ${best} · no relay`)
  else done(`tunnel through the relay · ${best}`)
}

async function talk(a: Agent, b: Agent): Promise<void> {
  title('A message and its answer')
  typed(b, 'connect agent-a --message "hello, peer"')
  const { response } = await b.ctl('connect', 'agent-a', '--message', 'hello, peer')
  done(`agent-a answered: ${String(response).trim()}`)
  typed(a, 'send-message agent-b --data "hello yourself"')
  const { ack } = await a.ctl('send-message', 'agent-b', '--data', 'hello yourself')
  const { messages } = await b.ctl('inbox')
  const texts = (messages as { data: string }[]).map((message) => message.data)
  if (!texts.includes('hello yourself'))
    throw new Error('the message is not in the inbox of agent-b')
  done(`acknowledged ("${ack}"), and in the inbox of agent-b: "${texts.at(-1)}"`)
}

async function sendFile(stage: Stage, a: Agent, b: Agent): Promise<void> {
  title('A file of 64 MiB')
  const path = join(stage.directory, 'data.bin')
  await writeFile(path, FILE_BYTES)
  typed(b, 'send-file agent-a data.bin')
  const started = performance.now()
  await b.show('send-file', 'agent-a', path)
  const seconds = (performance.now() - started) / 1000
  const { files } = await a.ctl('received')
  const [file] = files as { path: string; bytes: number }[]
  if (file === undefined) throw new Error('agent-a has no file')
  const [sent, received] = await Promise.all([sha256(path), sha256(file.path)])
  if (sent !== received) throw new Error(`the hashes differ: ${sent} and ${received}`)
  const rate = ((FILE_BYTES * 8) / 1e6 / seconds).toFixed(0)
  done(
    `SHA-256 equal on both sides: ${sent.slice(0, 16)}…, ${seconds.toFixed(1)} s (${rate} Mbit/s, start of pilotctl included)`,
  )
}

async function publish(b: Agent): Promise<void> {
  title('Publish and subscribe')
  typed(b, 'subscribe agent-a weather --count 1')
  const event = b.ctl('subscribe', 'agent-a', 'weather', '--count', '1', '--timeout', '15s')
  typed(b, 'publish agent-a weather --data sunny')
  let isHeard = false
  const heard = event.finally(() => {
    isHeard = true
  })
  // A subscription has no acknowledgement on the wire: publish until the event is there.
  while (!isHeard) {
    await b.ctl('publish', 'agent-a', 'weather', '--data', 'sunny')
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const { events } = await heard
  const [first] = events as { topic: string; data: string }[]
  if (first?.data !== 'sunny') throw new Error('the event did not come')
  done(`event on "${first.topic}": ${first.data}`)
}

async function bench(b: Agent): Promise<void> {
  title('A short bench')
  typed(b, 'bench agent-a 16')
  const data = await b.ctl('bench', 'agent-a', '16')
  const echo = Number(data.total_mib_per_s ?? data.total_mbps)
  const latency = data.latency_ms as { median?: number } | undefined
  const median =
    latency?.median === undefined ? '' : `, ${latency.median.toFixed(2)} ms for a small echo`
  done(`16 MiB there and back at ${echo.toFixed(1)} MiB/s${median}`)
}

async function tell(stage: Stage): Promise<void> {
  const [a, b] = await start(stage)
  await trust(a, b)
  await tunnel(b)
  await talk(a, b)
  await sendFile(stage, a, b)
  await publish(b)
  await bench(b)
}

function printWhatToTry(stage: Stage): void {
  const pairing = `${stage.statusUrl}/console/#pair=agent-a`
  title('Everything keeps running. Meet the agents in a browser:')
  console.log(`
  ${styleText('cyan', pairing)}

  Join: agent-a is asked for trust, and approves. Write to it, send it a file, measure the way.
  agent-b is found there by its name. A second browser window in private mode is another node.`)
  title('Or try, from this folder:')
  const [a, b] = stage.agents as [Agent, Agent]
  console.log(`
  alias a='${a.shellPrefix}'
  alias b='${b.shellPrefix}'

  a info                                       b peers
  b ping agent-a                               b connections
  a recv 4000 &                                b send agent-a 4000 --data "raw bytes"
  a subscribe agent-b news --count 1 &         b publish agent-b news --data "hot off the press"
  b send-file agent-a README.md                a received

  status page: ${stage.statusUrl}    what the agents receive is told below

  Ctrl-C stops it all.`)
}

const stage = await Stage.create()
let isClosing = false
let hosts: Hosts | undefined
const close = async (code: number): Promise<void> => {
  if (isClosing) return
  isClosing = true
  hosts?.close()
  await stage.close()
  process.exit(code)
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void close(0))

try {
  await tell(stage)
} catch (error) {
  console.error(`\n  ${styleText('red', '✗')} ${error instanceof Error ? error.message : error}`)
  await close(1)
}
if (isStaying) {
  printWhatToTry(stage)
  hosts = new Hosts(stage.agents)
  setInterval(() => {}, 1 << 30)
} else {
  console.log('\nAll of it is stopped now. To go on:')
  console.log('  npm run demo -- --stay    leaves it running, for your browser and your shell')
  console.log('  examples/hello/hello.ts   two nodes in one short program; more in README.md')
  await close(0)
}
