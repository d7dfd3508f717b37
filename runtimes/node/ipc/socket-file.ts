/** The socket's path: length, stale files, and a bind that is private from the first moment (spec/06 §1, §13). */
import { accessSync, chmodSync, constants, lstatSync, statSync, unlinkSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { dirname } from 'node:path'
import { StorageError, UsageError } from '../../../core/errors.ts'

/** `sun_path` without its NUL. */
const PATH_BYTES_MAX = process.platform === 'linux' ? 107 : 103
const PROBE_MS = 2000

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` when the path is too long for a Unix socket. */
export function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path)
  if (bytes === 0 || bytes > PATH_BYTES_MAX)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `socket path of ${bytes} bytes: need 1 to ${PATH_BYTES_MAX} (${path})`,
    )
}

/**
 * Looks before much else is done whether a socket can be made there.
 *
 * @throws {UsageError} `ERR_INVALID_ARGUMENT`; {@link StorageError} `ERR_STORE_IO`, `ERR_ADDRESS_IN_USE`.
 */
export function checkSocketPlace(path: string): void {
  checkSocketPath(path)
  const directory = dirname(path)
  const found = statSync(directory, { throwIfNoEntry: false })
  if (found === undefined) throw unusable(path, `there is no directory ${directory}`)
  if (!found.isDirectory()) throw unusable(path, `${directory} is not a directory`)
  try {
    accessSync(directory, constants.W_OK)
  } catch {
    throw unusable(path, `no permission to write to ${directory}`)
  }
  refuseOtherFile(path)
}

/** True when something accepts connections there. */
export function isSocketLive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    const finish = (live: boolean): void => {
      probe.destroy()
      resolve(live)
    }
    probe.setTimeout(PROBE_MS, () => finish(true)) // it hangs, but somebody is there
    probe.on('connect', () => finish(true))
    // EACCES: somebody else's, which is for `bind` to report.
    probe.on('error', (error: NodeJS.ErrnoException) => finish(error.code === 'EAGAIN'))
  })
}

/**
 * Listens on `path` with mode 0600, after removing a socket nobody answers on.
 *
 * @throws {StorageError} `ERR_ADDRESS_IN_USE` when a daemon is alive there or the path is not a
 * socket, `ERR_STORE_IO` when it cannot be made.
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  checkSocketPath(path)
  if (await isSocketLive(path))
    throw new StorageError('ERR_ADDRESS_IN_USE', `a daemon already answers on ${path}`)
  refuseOtherFile(path)
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unusable(path, error)
  }
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => {
      const { code } = error as NodeJS.ErrnoException
      reject(
        code === 'EADDRINUSE'
          ? new StorageError('ERR_ADDRESS_IN_USE', `another daemon took ${path}`, { cause: error })
          : unusable(path, error),
      )
    }
    server.once('error', fail)
    // A socket path is bound within the call, so the umask covers exactly this file.
    const before = process.umask(0o177)
    try {
      server.listen(path, () => {
        server.off('error', fail)
        resolve()
      })
    } finally {
      process.umask(before)
    }
  })
  chmodSync(path, 0o600) // for systems whose sockets ignore the umask
}

/** A path that holds something of another kind is left alone. */
function refuseOtherFile(path: string): void {
  let isOther: boolean
  try {
    isOther = lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false
  } catch (error) {
    throw unusable(path, error)
  }
  if (isOther) throw new StorageError('ERR_ADDRESS_IN_USE', `${path} exists and is not a socket`)
}

function unusable(path: string, cause: unknown): StorageError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new StorageError('ERR_STORE_IO', `cannot make the socket ${path}: ${reason}`, { cause })
}
