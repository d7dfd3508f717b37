#!/usr/bin/env node
import { homedir } from 'node:os'
import { runPilotctl } from '../cli/main.ts'
import { endProcess, exitNow } from '../end-process.ts'

const interrupt = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    interrupt.abort()
    // A command that does not end by itself is not waited for; a daemon or gateway in the foreground may take longer.
    setTimeout(
      () => exitNow(130),
      process.argv.some((word) => word === 'daemon' || word === 'gateway') ? 5000 : 500,
    ).unref()
  })
// The reader of our output has gone (`pilotctl ... | head`): nothing left to do.
process.stdout.on('error', () => exitNow(0))

const write = (stream: NodeJS.WriteStream, text: string): void => {
  stream.write(text)
}
const code = await runPilotctl(process.argv.slice(2), {
  stdout: (text) => write(process.stdout, text),
  stderr: (text) => write(process.stderr, text),
  stdin: process.stdin,
  isStdinTerminal: process.stdin.isTTY === true,
  isStdoutTerminal: process.stdout.isTTY === true,
  isStderrTerminal: process.stderr.isTTY === true,
  env: process.env,
  home: process.env.HOME || homedir(),
  signal: interrupt.signal,
})
process.stdin.pause()
await endProcess(code)
