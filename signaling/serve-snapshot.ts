/** State files of a reference, from and to disk (spec/04 §15). */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { StorageError, UsageError } from '../core/errors.ts'
import { SNAPSHOT_BYTES_MAX } from './limits.ts'
import { saveState } from './registry-store.ts'
import { readSnapshot } from './snapshot-read.ts'
import { writeSnapshot } from './snapshot-write.ts'
import { SqliteStore } from './sqlite-store.ts'

export interface SnapshotCounts {
  readonly nodes: number
  readonly networks: number
  readonly trustPairs: number
}

/**
 * Fills an empty store with what a reference's state file holds, all or nothing. `notes` says what was left out.
 *
 * @throws {PilotError} `ERR_STORE_CORRUPT` for a file that is not sound, `ERR_STORE_IO`, and
 * `ERR_INVALID_ARGUMENT` for a store that holds something already.
 */
export function importSnapshot(
  file: string,
  storePath: string,
  unixSeconds: number,
): SnapshotCounts & { readonly notes: readonly string[] } {
  const { state, notes } = readSnapshot(readText(file), unixSeconds)
  const store = new SqliteStore(storePath)
  try {
    const before = store.load()
    if (before.nextNodeId > 1 || before.nextNetworkId > 1)
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        `store ${storePath} is not empty: name another file with -store`,
      )
    saveState(store, state)
    store.commit()
  } finally {
    store.close()
  }
  return { ...countsOf(state), notes }
}

/** Replaces the file whole, mode 0600: it has join tokens in it. @throws {StorageError} `ERR_STORE_CORRUPT`, `ERR_STORE_IO`. */
export function exportSnapshot(
  storePath: string,
  file: string,
  unixSeconds: number,
): SnapshotCounts {
  const store = new SqliteStore(storePath)
  try {
    const state = store.load()
    const text = writeSnapshot(state, unixSeconds)
    try {
      const handle = openSync(`${file}.tmp`, 'w', 0o600)
      try {
        writeFileSync(handle, text)
        fsyncSync(handle)
      } finally {
        closeSync(handle)
      }
      renameSync(`${file}.tmp`, file)
    } catch (cause) {
      throw unusable('write', file, cause)
    }
    return countsOf(state)
  } finally {
    store.close()
  }
}

function readText(file: string): string {
  try {
    const { size } = statSync(file)
    if (size > SNAPSHOT_BYTES_MAX) throw new Error(`it has more than ${SNAPSHOT_BYTES_MAX} bytes`)
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw unusable('read', file, cause)
  }
}

function unusable(what: string, file: string, cause: unknown): StorageError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new StorageError('ERR_STORE_IO', `cannot ${what} snapshot ${file}: ${reason}`, { cause })
}

function countsOf(state: {
  readonly nodes: Iterable<unknown>
  readonly networks: Iterable<unknown>
  readonly pairs: Iterable<unknown>
}): SnapshotCounts {
  const count = (items: Iterable<unknown>): number => [...items].length
  return {
    nodes: count(state.nodes),
    networks: count(state.networks),
    trustPairs: count(state.pairs),
  }
}
