#!/usr/bin/env node
import { homedir } from 'node:os'
import { collectAtOnce } from '../collector.ts'
import { runDaemon } from '../daemon/run-daemon.ts'
import { endProcess, exitNow } from '../end-process.ts'

collectAtOnce()
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    if (stop.signal.aborted) exitNow(1) // asked twice: at once
    stop.abort()
  })
const code = await runDaemon(process.argv.slice(2), {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  home: process.env.HOME || homedir(),
  signal: stop.signal,
})
await endProcess(code)
