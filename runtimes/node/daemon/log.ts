/** Log lines of the daemon: text as `key=value` pairs, or one JSON object each. Keys and payloads never get here. */

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export type LogFormat = 'text' | 'json'

export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

export type LogFields = Readonly<Record<string, string | number | boolean>>

export function createLog(write: (line: string) => void, level: LogLevel, format: LogFormat): Log {
  const least = LOG_LEVELS.indexOf(level)
  const at =
    (name: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (LOG_LEVELS.indexOf(name) < least) return
      const time = new Date().toISOString()
      const all = { time, level: name.toUpperCase(), msg: message, ...fields }
      write(format === 'json' ? JSON.stringify(all) : formatText(all))
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

function formatText(fields: LogFields): string {
  return Object.entries(fields)
    .map(([key, value]) => {
      const text = `${value}`
      return `${key}=${/^[^\s"=\p{C}]+$/u.test(text) ? text : JSON.stringify(text)}`
    })
    .join(' ')
}
