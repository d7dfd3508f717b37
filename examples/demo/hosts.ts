/**
 * After the story: the two agents receive whoever comes, from the console in a browser or from a shell. They
 * approve requests for trust, say what arrives, and answer the first message of each. A real agent asks a person.
 */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { styleText } from 'node:util'
import type { Agent } from './stage.ts'

const POLL_MS = 500
const SHOWN_MAX = 200

interface Watched {
  readonly path: string
  changedAtMs: number
  readonly handle: () => Promise<void>
}

export class Hosts {
  readonly #watched: Watched[]
  readonly #timer: NodeJS.Timeout
  #isBusy = false

  constructor(agents: readonly Agent[]) {
    this.#watched = agents.flatMap((agent) => watch(agent))
    this.#timer = setInterval(() => void this.#look(), POLL_MS)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** Asks a daemon only after something of its was written: `pilotctl` takes a moment to start. */
  async #look(): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    for (const watched of this.#watched) {
      const changedAtMs = await changeTime(watched.path)
      if (changedAtMs === watched.changedAtMs) continue
      watched.changedAtMs = changedAtMs
      await watched
        .handle()
        .catch((error) => say('!', `${error instanceof Error ? error.message : error}`))
    }
    this.#isBusy = false
  }
}

function watch(agent: Agent): Watched[] {
  const folder = join(agent.home, '.pilot')
  // What the story left is not news.
  const messages = messagesOf(agent).then((all) => new Set(all.map(({ id }) => id)))
  const files = filesOf(agent).then((all) => new Set(all.map(({ path }) => path)))
  const answered = new Set<string>()
  return [
    {
      path: join(folder, 'trust.json'),
      changedAtMs: 0,
      handle: async () => {
        const { pending } = await agent.ctl('pending')
        for (const { node_id, justification } of pending as Pending[]) {
          await agent.ctl('approve', String(node_id))
          const why = justification === '' ? '' : `, "${plain(justification)}"`
          say(agent.name, `node ${node_id} asked for trust${why}: approved`)
        }
      },
    },
    {
      path: join(folder, 'inbox'),
      changedAtMs: 0,
      handle: async () => {
        const known = await messages
        for (const { id, from, data } of await messagesOf(agent)) {
          if (known.has(id)) continue
          known.add(id)
          say(agent.name, `message from ${from}: ${plain(data)}`)
          if (answered.has(from)) continue
          answered.add(from)
          await agent.ctl('send-message', from, '--data', greeting(agent, from))
        }
      },
    },
    {
      path: join(folder, 'received'),
      changedAtMs: 0,
      handle: async () => {
        const known = await files
        for (const { path, bytes } of await filesOf(agent)) {
          if (known.has(path)) continue
          known.add(path)
          say(agent.name, `file of ${bytes} bytes: ${plain(path)}`)
        }
      },
    },
  ]
}

interface Pending {
  readonly node_id: number
  readonly justification: string
}
interface Message {
  readonly id: string
  readonly from: string
  readonly data: string
}
interface Received {
  readonly path: string
  readonly bytes: number
}

async function messagesOf(agent: Agent): Promise<readonly Message[]> {
  return (await agent.ctl('inbox')).messages as Message[]
}

async function filesOf(agent: Agent): Promise<readonly Received[]> {
  return (await agent.ctl('received')).files as Received[]
}

function greeting(agent: Agent, to: string): string {
  const short = agent.name.slice(-1)
  return `Hello, this is ${agent.name}. Your message is in my inbox. From the terminal of the demo: ${short} send-message ${to} --data "hi"`
}

/** 0 while there is no such file. */
async function changeTime(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.mtimeMs ?? 0
}

/** Somebody else's text on a terminal: no control characters, one line. */
function plain(text: string): string {
  const line = text.replace(/\p{C}+/gu, ' ')
  return line.length > SHOWN_MAX ? `${line.slice(0, SHOWN_MAX)}…` : line
}

function say(who: string, text: string): void {
  console.log(`  ${styleText('cyan', who)} ${text}`)
}
