/** How much may come into a browser, and what becomes of it. */
import { describe, expect, it } from 'vitest'
import type { Database } from '../../../signaling/console/model/database.ts'
import {
  FILE_BYTES_MAX,
  FILES_BYTES_MAX,
  ReceivedFiles,
} from '../../../signaling/console/model/received-files.ts'
import type { Change, Tabs } from '../../../signaling/console/model/tabs.ts'

/** A database that lives as long as the test. */
function storage(): { database: Database; values: Map<string, unknown> } {
  const values = new Map<string, unknown>()
  const database = {
    isLasting: true,
    put: async (_store: string, key: string, value: unknown) => void values.set(key, value),
    delete: async (_store: string, key: string) => void values.delete(key),
    all: async (_store: string, prefix: string) =>
      [...values].filter(([key]) => key.startsWith(prefix)).map(([, value]) => value),
  }
  return { database: database as unknown as Database, values }
}

function tabs(): { tabs: Tabs; changes: Change[]; hear: (change: Change) => void } {
  const changes: Change[] = []
  const listeners: ((change: Change) => void)[] = []
  const fake = {
    changed: (store: Change['store'], key: string) => changes.push({ store, key }),
    onchange: (listener: (change: Change) => void) => listeners.push(listener),
  }
  const hear = (change: Change): void => {
    for (const listener of listeners) listener(change)
  }
  return { tabs: fake as unknown as Tabs, changes, hear }
}

const file = (name: string, size: number) =>
  ({ nodeId: 7, name, size, sha256: '00', blob: new Blob(['x']) }) as const

describe('received files', () => {
  it('are refused one by one when too large, with the reason', async () => {
    const files = new ReceivedFiles(storage().database, tabs().tabs, 'me ')
    await expect(files.reserve(FILE_BYTES_MAX + 1)).rejects.toThrow(
      /takes files up to 256 MiB, this one has 256 MiB/,
    )
    await files.reserve(FILE_BYTES_MAX)
  })

  it('are refused when all together would be too much, announced ones included', async () => {
    const files = new ReceivedFiles(storage().database, tabs().tabs, 'me ')
    const half = FILES_BYTES_MAX / 2
    const release = await files.reserve(half)
    await files.add(file('stored', half))
    await expect(files.reserve(1)).rejects.toThrow(/full \(512 MiB\)/)
    release()
    release() // once is enough
    await files.reserve(half)
    await expect(files.reserve(1)).rejects.toThrow(/full/)
    await files.remove(files.files.value[0]?.id ?? '')
    await files.reserve(half)
  })

  it('are there again after a reload, newest first, of this identity only', async () => {
    const { database } = storage()
    const first = new ReceivedFiles(database, tabs().tabs, 'me ')
    await first.add(file('one', 1))
    await new Promise((resolve) => setTimeout(resolve, 5))
    await first.add(file('two', 2))
    await new ReceivedFiles(database, tabs().tabs, 'other ').add(file('theirs', 3))
    const again = new ReceivedFiles(database, tabs().tabs, 'me ')
    await again.reserve(0) // waits until it has read
    expect(again.files.value.map(({ name }) => name)).toEqual(['two', 'one'])
  })

  it('are told to the other tabs, and read again when another tab says so', async () => {
    const { database, values } = storage()
    const mine = tabs()
    const files = new ReceivedFiles(database, mine.tabs, 'me ')
    await files.add(file('one', 1))
    expect(mine.changes).toEqual([{ store: 'files', key: 'me ' }])
    values.set('me x', { ...file('from another tab', 1), id: 'x', at: Date.now() + 1 })
    mine.hear({ store: 'files', key: 'me ' })
    await files.reserve(0)
    expect(files.files.value.map(({ name }) => name)).toEqual(['from another tab', 'one'])
  })
})
