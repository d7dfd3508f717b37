/** A progress bar on standard error, for people at a terminal only. */
import { SingleBar } from 'cli-progress'
import type { Cli } from './cli.ts'
import { formatBytes } from './values.ts'

export interface Progress {
  update(doneBytes: number): void
  stop(): void
}

export function byteProgress(cli: Cli, label: string, totalBytes: number): Progress {
  if (cli.json || !cli.io.isStderrTerminal) return { update: () => {}, stop: () => {} }
  const started = performance.now()
  const bar = new SingleBar({
    format: `${label} [{bar}] {percentage}% {done} of {size} {rate}/s`,
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
    fps: 10,
  })
  const payload = (done: number) => ({
    done: formatBytes(done),
    size: formatBytes(totalBytes),
    rate: formatBytes(Math.round(done / Math.max(0.001, (performance.now() - started) / 1000))),
  })
  bar.start(totalBytes, 0, payload(0))
  return {
    update: (done) => bar.update(Math.min(done, totalBytes), payload(done)),
    stop: () => bar.stop(),
  }
}

export interface StepProgress {
  /** `share` of this step, 0 to 1. */
  update(text: string, share: number): void
  stop(): void
}

export function stepProgress(cli: Cli): StepProgress {
  if (cli.json || !cli.io.isStderrTerminal) return { update: () => {}, stop: () => {} }
  const bar = new SingleBar({
    format: '[{bar}] {text}',
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
    fps: 10,
  })
  bar.start(1000, 0, { text: '' })
  return {
    update: (text, share) => bar.update(Math.round(share * 1000), { text }),
    stop: () => bar.stop(),
  }
}
