/** Permissions as this package asks for them: what is missing is told with the flag that gives it. */
import { PilotError } from '../../core/index.ts'

/** Asks where somebody can answer, as Deno itself does. @throws {PilotError} `ERR_PERMISSION`. */
export async function requireNet(host: string, what: string): Promise<void> {
  const { state } = await Deno.permissions.request({ name: 'net', host })
  if (state !== 'granted') throw missing(what, `--allow-net=${host}`)
}

/** @throws {PilotError} `ERR_PERMISSION`. */
export async function requireDirectory(path: string, what: string): Promise<void> {
  for (const name of ['read', 'write'] as const) {
    const { state } = await Deno.permissions.request({ name, path })
    if (state !== 'granted') throw missing(what, `--allow-read=${path} --allow-write=${path}`)
  }
}

/** Without asking: what is only useful. */
export function hasPermission(descriptor: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(descriptor).state === 'granted'
}

export function missing(what: string, flags: string, cause?: unknown): PilotError {
  return new PilotError(
    'ERR_PERMISSION',
    `${what} needs ${flags} on the command line of deno`,
    cause === undefined ? undefined : { cause },
  )
}
