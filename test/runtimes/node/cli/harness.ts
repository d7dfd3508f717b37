/** `pilotctl` in this process: own home, own socket, captured output. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CliIo } from '../../../../runtimes/node/cli/cli.ts'
import { runPilotctl } from '../../../../runtimes/node/cli/main.ts'

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** `data` of a success, the whole object of a failure. */
  readonly json: Record<string, unknown>
}

export class CliHarness {
  readonly home: string = mkdtempSync(join(tmpdir(), 'pilot-cli-'))
  readonly socket: string = join(this.home, 's')
  env: Record<string, string> = { PILOT_SOCKET: this.socket, PILOT_REGISTRY: '127.0.0.1:1' }
  stdin: string | undefined

  async run(...argv: string[]): Promise<Ran> {
    const written = { stdout: '', stderr: '' }
    const code = await runPilotctl(argv, this.io(written))
    const { stdout, stderr } = written
    let json: Record<string, unknown> = {}
    if (argv.includes('--json')) {
      const envelope = JSON.parse((stdout || stderr).trim().split('\n').at(-1)!)
      json = envelope.status === 'ok' ? envelope.data : envelope
    }
    return { code, stdout, stderr, json }
  }

  /** What is printed is added to `written`. */
  io(written: { stdout: string; stderr: string } = { stdout: '', stderr: '' }): CliIo {
    const text = this.stdin ?? ''
    return {
      stdout: (part) => {
        written.stdout += part
      },
      stderr: (part) => {
        written.stderr += part
      },
      stdin: (async function* () {
        yield Buffer.from(text)
      })(),
      isStdinTerminal: this.stdin === undefined,
      isStdoutTerminal: false,
      isStderrTerminal: false,
      env: this.env,
      home: this.home,
      signal: new AbortController().signal,
    }
  }

  dispose(): void {
    rmSync(this.home, { recursive: true, force: true })
  }
}
