/** The console's files on Node, read once: `dist/console`, where `npm run build` puts them. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { builtFolder } from '../runtimes/node/own-files.ts'
import { type ConsoleFile, type ConsoleFiles, markAsOwn } from './console-routes.ts'

/** `undefined` when the console was not built. */
export function readConsole(directory: string | undefined = folder()): ConsoleFiles | undefined {
  if (directory === undefined) return undefined
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch {
    return undefined
  }
  if (!names.includes('index.html')) return undefined
  return new Map(names.map((name) => [name, readOne(directory, name)]))
}

function folder(): string | undefined {
  const built = builtFolder()
  return built && join(built, 'console')
}

function readOne(directory: string, name: string): ConsoleFile {
  const read = readFileSync(`${directory}/${name}`)
  const bytes = new Uint8Array(
    name === 'index.html' ? Buffer.from(markAsOwn(read.toString('utf8'))) : read,
  )
  const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`
  let packed: Uint8Array<ArrayBuffer> | undefined
  return {
    bytes,
    etag,
    // Most servers are asked for a status page at most.
    get gzip() {
      packed ??= new Uint8Array(gzipSync(bytes))
      return packed
    },
  }
}
