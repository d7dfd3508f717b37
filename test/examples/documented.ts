/** Commands of the examples as their READMEs give them, run by a shell in the project's folder. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root: string = fileURLToPath(new URL('../../', import.meta.url))
const START_MS = 20_000

export interface DocumentedOptions {
  /** Words behind the command: where the rendezvous of the test is. */
  readonly more?: readonly string[]
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** A program that stays. */
export interface Running {
  /** Both outputs, until now. */
  text(): string
  /** Settles when both outputs match; rejects when it ends before, or in 20 s. */
  tells(pattern: RegExp): Promise<RegExpExecArray>
  stop(): Promise<void>
}

/** @throws when the README does not have the command. */
export function start(
  example: string,
  command: string,
  { more = [], env = {} }: DocumentedOptions = {},
): Running {
  const readme = readFileSync(join(root, 'examples', example, 'README.md'), 'utf8')
  const isDocumented = readme
    .split('\n')
    .some((line) => line === command || line.startsWith(`${command} `))
  if (!isDocumented) throw new Error(`the README of ${example} does not have: ${command}`)
  const child = spawn('bash', ['-c', `exec ${[command, ...more].join(' ')}`], {
    cwd: root,
    env: {
      ...process.env,
      ...env,
      PATH: join(root, 'node_modules/.bin') + delimiter + process.env.PATH,
    },
    // esbuild serves as long as its input is open.
    stdio: ['pipe', 'pipe', 'pipe'],
    // What `npx` started ends with it.
    detached: true,
  })
  return running(child, command)
}

/** What a command prints before it ends. @throws when it fails. */
export async function run(
  example: string,
  command: string,
  options: DocumentedOptions = {},
): Promise<string> {
  const program = start(example, command, options)
  try {
    await program.tells(/\nEXIT 0$/)
    return program
      .text()
      .replace(/\nEXIT 0$/, '')
      .trim()
  } finally {
    await program.stop()
  }
}

function running(child: ChildProcess, command: string): Running {
  let text = ''
  let changed: () => void = () => {}
  const take = (piece: string): void => {
    text += piece
    changed()
  }
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (piece: Buffer) => take(piece.toString()))
  const closed = once(child, 'close').then(() => take(`\nEXIT ${child.exitCode}`))
  return {
    text: () => text,
    tells: async (pattern) => {
      let isLate = false
      const timer = setTimeout(() => {
        isLate = true
        changed()
      }, START_MS)
      try {
        for (;;) {
          const match = pattern.exec(text)
          if (match !== null) return match
          if (isLate || /\nEXIT .*$/.test(text))
            throw new Error(`${command}: no ${pattern}, but ${text}`)
          await new Promise<void>((resolve) => {
            changed = resolve
          })
        }
      } finally {
        clearTimeout(timer)
      }
    },
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null && child.pid !== undefined)
        process.kill(-child.pid, 'SIGKILL')
      await closed
    },
  }
}
