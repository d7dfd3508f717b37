/** Failures as the command line reports them: code, message, hint (spec/08 §2.1, §2.2). */
import { PilotError } from '../../../core/errors.ts'
import { UNREACHABLE } from '../ipc/error-text.ts'

export type CliCode =
  | 'invalid_argument'
  | 'not_found'
  | 'already_exists'
  | 'not_running'
  | 'connection_failed'
  | 'timeout'
  | 'internal'
  | 'internal_error'
  | 'invalid_state'
  | 'expired'
  | 'auth_required'
  | 'unavailable'

export const CLI_CODES: Readonly<Record<CliCode, string>> = {
  invalid_argument: 'Bad input or usage error (do not retry)',
  not_found: 'A name, node, file or mailbox does not exist',
  already_exists: 'Duplicate operation (a daemon runs already)',
  not_running: 'No daemon answers on the socket',
  connection_failed: 'Network, peer or registry failure (may be retried)',
  timeout: 'No answer in time (may be retried with a longer timeout)',
  internal: 'A local file or process could not be used',
  internal_error: 'As internal, of task commands',
  invalid_state: 'A task is past the step that was asked for',
  expired: 'A task was not answered in time',
  auth_required: 'An admin token is needed',
  unavailable: 'The daemon in use does not have this function',
}

export class CliError extends Error {
  override readonly name = 'CliError'
  readonly code: CliCode
  readonly hint: string | undefined

  constructor(code: CliCode, message: string, hint?: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.hint = hint
  }
}

export function usageError(message: string, hint?: string): CliError {
  return new CliError('invalid_argument', message, hint)
}

export function notRunning(cause?: unknown): CliError {
  return new CliError(
    'not_running',
    'daemon is not running',
    'start the daemon with: pilotctl daemon start',
    { cause },
  )
}

/** A failed request to the daemon: `<label>: <reason>`. */
export function requestFailure(label: string, error: unknown): CliError {
  if (error instanceof CliError) return error
  if (!(error instanceof PilotError))
    return new CliError('internal', `${label}: ${messageOf(error)}`, undefined, { cause: error })
  switch (error.code) {
    case 'ERR_DAEMON_REFUSED':
      return /^unknown command: /.test(error.message)
        ? new CliError(
            'unavailable',
            `${label}: this daemon does not know the request`,
            'the daemon is of another version; restart it with: pilotctl daemon stop && pilotctl daemon start',
            { cause: error },
          )
        : refusal(label, error)
    case 'ERR_DAEMON_UNAVAILABLE':
      return new CliError(
        'connection_failed',
        `${label}: daemon disconnected`,
        'the daemon stopped or dropped us; see: pilotctl daemon status',
        { cause: error },
      )
    case 'ERR_ABORTED':
      return new CliError('timeout', `${label}: no answer in time`, undefined, { cause: error })
    case 'ERR_INVALID_ARGUMENT':
    case 'ERR_ADDRESS_SYNTAX':
      return usageError(`${label}: ${error.message}`)
    default:
      return new CliError('connection_failed', `${label}: ${error.message}`, undefined, {
        cause: error,
      })
  }
}

/** The daemon went away while something was awaited. */
export function lost(): PilotError {
  return new PilotError('ERR_DAEMON_UNAVAILABLE', 'daemon disconnected')
}

/** What the daemon or the registry answered, without the names of the layers it came through. */
function refusal(label: string, error: PilotError): CliError {
  const text = plainReason(error.message)
  if (text.startsWith(UNREACHABLE))
    return new CliError(
      'connection_failed',
      `${label}: the registry ${text}`,
      'is the rendezvous running? the address in use is shown by: pilotctl info',
      { cause: error },
    )
  return new CliError(codeOf(text), `${label}: ${text}`, undefined, { cause: error })
}

/** `set_hostname: registry: hostname taken` becomes `hostname taken`. */
export function plainReason(text: string): string {
  return text.replace(LAYERS, '')
}

const LAYERS =
  /^(?:(?:handshake(?: \w+)?|network [\w-]+|member-tags \w+|set_\w+|resolve_hostname|deregister|rotate_key|bind|sendto|info|health|registry): )+/

function codeOf(text: string): CliCode {
  if (/^(?:node \d+: node|network \d+: network) not found/.test(text)) return 'not_found'
  if (/already in use|already bound/.test(text)) return 'already_exists'
  if (/^invalid hostname|must be lowercase|cannot be bound/.test(text)) return 'invalid_argument'
  return 'connection_failed'
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
