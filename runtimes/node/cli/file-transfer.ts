/** Sending one file: FILESTREAM where the peer has it, else a single FILE frame (spec/07 §6.5). */
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { basename } from 'node:path'
import { toHex } from '../../../core/bytes.ts'
import {
  ackText,
  DATA_FRAME,
  DATA_FRAME_BYTES_MAX,
  encodeFileFrame,
} from '../../../core/service/data-exchange.ts'
import { FileSender } from '../../../core/service/file-sender.ts'
import { portableFileName } from '../../../core/service/inbox.ts'
import type { DaemonConnection } from '../ipc/client-connection.ts'
import { DataExchangeClient } from './data-exchange-client.ts'
import { CliError, messageOf } from './failure.ts'

const READ_BYTES = 1024 * 1024

export interface SourceFile extends AsyncDisposable {
  readonly file: FileHandle
  readonly size: number
  readonly sha256: Uint8Array
  /** Base name as typed, and the form every receiver accepts. */
  readonly name: string
  readonly portableName: string
}

export type Sent =
  | {
      readonly method: 'filestream' | 'file'
      readonly ack: string
      readonly resumedFrom: number
    }
  | 'unsupported'

/** Opens and hashes. @throws {CliError} `not_found`, `invalid_argument`, `internal`. */
export async function openSource(path: string): Promise<SourceFile> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? new CliError('not_found', `file not found: ${path}`)
      : new CliError('internal', `cannot read ${path}: ${messageOf(error)}`)
  }
  try {
    if (!(await file.stat()).isFile())
      throw new CliError('invalid_argument', `${path} is not a regular file`)
    const name = basename(path)
    const portableName = portableFileName(name)
    if (portableName === undefined)
      throw new CliError('invalid_argument', `${path}: no receiver would accept this name`)
    const hash = createHash('sha256')
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    let size = 0
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, size)
      if (bytesRead === 0) break
      hash.update(buffer.subarray(0, bytesRead))
      size += bytesRead
    }
    return {
      file,
      size,
      sha256: hash.digest(),
      name,
      portableName,
      [Symbol.asyncDispose]: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error instanceof CliError
      ? error
      : new CliError('internal', `cannot read ${path}: ${messageOf(error)}`)
  }
}

/** One FILESTREAM transfer. @throws {CliError} `connection_failed` with the reason, `timeout`. */
export async function sendByStream(
  connection: DaemonConnection,
  source: SourceFile,
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<Sent> {
  const now = (): number => performance.now()
  const sender = new FileSender({
    size: source.size,
    sha256: source.sha256,
    name: source.portableName,
    now: now(),
  })
  const client = new DataExchangeClient(connection)
  let resumedFrom = 0
  let outcome: Sent | CliError | undefined
  const stop = new AbortController()
  const onAbort = (): void => sender.abort('interrupted')
  signal.addEventListener('abort', onAbort, { once: true })
  const timer = setInterval(() => {
    sender.handleTimeout(now())
    void pump()
  }, 250)

  const takeEvents = (): void => {
    for (let event = sender.pollEvent(); event !== undefined; event = sender.pollEvent())
      switch (event.type) {
        case 'resume':
          resumedFrom = event.offset
          onProgress(event.offset)
          break
        case 'progress':
          onProgress(event.offset)
          break
        case 'complete':
          outcome = { method: 'filestream', ack: `COMPLETE ${event.message}`, resumedFrom }
          break
        case 'unsupported':
          outcome = 'unsupported'
          break
        case 'failed':
          outcome = new CliError('connection_failed', `the file was not delivered: ${event.reason}`)
      }
  }
  let pumping = false
  /** Writes what the machine has, and reads what it wants, until it waits for the peer. */
  const pump = async (): Promise<void> => {
    if (pumping) return
    pumping = true
    try {
      for (;;) {
        takeEvents()
        const frame = sender.pollTransmit()
        const want = frame === undefined ? sender.pollRead() : undefined
        if (frame !== undefined) await client.write(frame)
        else if (want !== undefined) sender.provide(await readAt(source.file, want), now())
        else break
      }
    } catch (error) {
      if (outcome === undefined) sender.abort(messageOf(error))
      takeEvents()
    } finally {
      pumping = false
    }
    if (outcome !== undefined) stop.abort()
  }

  try {
    await pump()
    while (outcome === undefined) {
      try {
        sender.handleFrame(await client.nextFrame(stop.signal), now())
      } catch {
        if (outcome === undefined) sender.handleEnd()
      }
      await pump()
      takeEvents()
    }
  } finally {
    clearInterval(timer)
    signal.removeEventListener('abort', onAbort)
  }
  if (outcome instanceof CliError) throw outcome
  return outcome
}

/** One FILE frame. @throws {CliError} `connection_failed`. */
export async function sendWhole(
  connection: DaemonConnection,
  source: SourceFile,
  signal: AbortSignal,
): Promise<Sent> {
  const data = await readAt(source.file, { offset: 0, length: source.size })
  if (
    data.length !== source.size ||
    !createHash('sha256').update(data).digest().equals(source.sha256)
  )
    throw new CliError('internal', 'the file changed while it was sent')
  const client = new DataExchangeClient(connection)
  const ack = await client.exchange(encodeFileFrame(source.portableName, data), signal)
  if (ack !== ackText(DATA_FRAME.file, source.size))
    throw new CliError('connection_failed', `the receiver did not store the file: ${ack}`)
  return { method: 'file', ack, resumedFrom: 0 }
}

/** True when the file fits into one FILE frame. */
export function fitsWhole(source: SourceFile): boolean {
  return source.size + 2 + Buffer.byteLength(source.portableName) <= DATA_FRAME_BYTES_MAX
}

export function hashText(source: SourceFile): string {
  return toHex(source.sha256)
}

async function readAt(
  file: FileHandle,
  { offset, length }: { readonly offset: number; readonly length: number },
): Promise<Uint8Array> {
  const buffer = new Uint8Array(length)
  let got = 0
  while (got < length) {
    const { bytesRead } = await file.read(buffer, got, length - got, offset + got)
    if (bytesRead === 0) break
    got += bytesRead
  }
  return buffer.subarray(0, got)
}
