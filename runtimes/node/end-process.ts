/**
 * How our own programs end. `process.exit` may wait for ever on Node 24: a thread that compiles wants the main thread
 * to collect garbage while the main thread waits for that thread (nodejs/node#54918). So a program ends by having
 * nothing left to do, and where it must be cut short it collects first, after which no thread wants that.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** What is still open after so long is not waited for. */
const LINGER_MS = 200

/** The program is done: its process ends with `code`, at the latest after `LINGER_MS` and when its output is written. */
export async function endProcess(code: number): Promise<void> {
  process.exitCode = code
  // Pipes are written asynchronously; what they still hold must not be cut off.
  for (const stream of [process.stdout, process.stderr])
    if (stream.writableLength > 0)
      await new Promise<void>((resolve) => stream.write('', () => resolve()))
  setTimeout(() => exitNow(code), LINGER_MS).unref()
}

/** Ends the process in this turn. */
export function exitNow(code: number): never {
  try {
    setFlagsFromString('--expose-gc')
    runInNewContext('gc')()
  } catch {
    // then without
  }
  process.exit(code)
}
