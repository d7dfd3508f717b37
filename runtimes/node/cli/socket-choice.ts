/** Which socket a daemon gets that nobody named one for: several homes may share a machine, and the default. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DaemonClient } from '../ipc/client.ts'
import { checkSocketPath, isSocketLive } from '../ipc/socket-file.ts'
import type { Cli } from './cli.ts'
import { textOf, updateConfig } from './config-file.ts'
import type { StartFlags } from './daemon-options.ts'
import { DEFAULT_SOCKET, defaultIdentityPath } from './paths.ts'
import { readProcessFile } from './process-file.ts'

const INFO_MS = 2000

/**
 * The flags, with a socket in this home where the default one belongs to the daemon of another home. It is
 * remembered in the configuration, so that every later command finds this home's own daemon.
 */
export async function withFreeSocket(
  cli: Cli,
  flags: StartFlags,
  usual: string = DEFAULT_SOCKET,
): Promise<StartFlags> {
  const isNamed =
    flags.socket !== undefined ||
    (cli.io.env.PILOT_SOCKET ?? '') !== '' ||
    textOf(cli.config, 'socket') !== undefined
  if (isNamed || readProcessFile(cli.paths.pid) !== undefined) return flags
  const identity = flags.identity ?? defaultIdentityPath(cli.paths.directory)
  if (!(await isOfAnother(usual, identity))) return flags
  const socket = join(cli.paths.directory, 'pilot.sock')
  try {
    checkSocketPath(socket)
  } catch {
    return flags // too long a path: the user has to name one
  }
  updateConfig(cli.paths.config, { socket })
  cli.note(
    `${usual} belongs to another daemon; this one gets ${socket} (kept in ${cli.paths.config})`,
  )
  return { ...flags, socket }
}

/** Somebody answers there, and it is not the node of this identity file. */
async function isOfAnother(socket: string, identity: string): Promise<boolean> {
  let key: unknown
  try {
    await using client = await DaemonClient.connect(socket)
    key = (await client.info({ signal: AbortSignal.timeout(INFO_MS) })).public_key
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException
    return code === 'EACCES' || (await isSocketLive(socket))
  }
  return key !== publicKeyOf(identity)
}

/** `undefined` without a file that names one. */
function publicKeyOf(path: string): string | undefined {
  try {
    return (JSON.parse(readFileSync(path, 'utf8')) as { public_key?: string }).public_key
  } catch {
    return undefined
  }
}
