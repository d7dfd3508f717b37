/** Log lines on a sink: level, message, a few fields. Keys, signatures and payloads are never passed in. */

export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFormat = 'text' | 'json'
export type LogFields = Readonly<Record<string, string | number | boolean>>

export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

export interface LogOptions {
  readonly level: LogLevel
  readonly format: LogFormat
  /** Takes one line without its line end. */
  readonly write: (line: string) => void
  /** RFC 3339 text of the present. */
  readonly time: () => string
}

/** A log that writes lines of at least this level. */
export function createLog({ level, format, write, time }: LogOptions): Log {
  const least = LOG_LEVELS.indexOf(level)
  const at =
    (one: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (LOG_LEVELS.indexOf(one) < least) return
      write(
        format === 'json'
          ? JSON.stringify({ time: time(), level: one, msg: message, ...fields })
          : [`${time()} ${one.padEnd(5)} ${message}`, ...Object.entries(fields).map(pair)].join(
              ' ',
            ),
      )
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

function pair([name, value]: [string, string | number | boolean]): string {
  const text = String(value)
  return `${name}=${/^[\w.:/[\]@+-]+$/.test(text) ? text : JSON.stringify(text)}`
}

/** Says nothing. */
export const SILENT_LOG: Log = { debug() {}, info() {}, warn() {}, error() {} }
