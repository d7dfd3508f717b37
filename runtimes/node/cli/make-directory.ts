/** Directories of the command line. */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a directory and its parents, mode 0700. Not `recursive`: where a file system answers ENOENT for
 * a directory whose parent exists, Node tries for ever.
 */
export function makeDirectory(path: string, depth = 0): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || depth > 32 || dirname(path) === path) throw error
    makeDirectory(dirname(path), depth + 1)
    mkdirSync(path, { mode: 0o700 })
  }
}
