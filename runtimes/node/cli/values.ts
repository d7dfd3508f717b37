/** Values of flags and arguments: durations, counts, ports, node ids, sizes (spec/08 §2). */
import { GO_UNIT_MS } from '../../../core/time-text.ts'
import { usageError } from './failure.ts'

/** Go form (`1m30s`, `500ms`) or a plain number of seconds; in ms. @throws {CliError} `invalid_argument`. */
export function parseDuration(text: string, flag: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  let ms = 0
  let rest = text
  while (rest !== '') {
    const match = /^(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/.exec(rest)
    if (match === null) break
    ms += Number(match[1]) * GO_UNIT_MS[match[2]!]!
    rest = rest.slice(match[0].length)
  }
  if (text === '' || rest !== '')
    throw usageError(
      `invalid duration for --${flag}: ${JSON.stringify(text)} (write 500ms, 30s, 1m30s or a number of seconds)`,
    )
  return ms
}

/** `30s`, `500ms`, `1m30s`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`
  const minutes = Math.floor(ms / 60_000)
  const seconds = Math.round((ms % 60_000) / 100) / 10
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds}s`
}

export function parseCount(text: string, flag: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw usageError(`invalid value for --${flag}: ${JSON.stringify(text)} (need a whole number)`)
  return Number(text)
}

export function parsePort(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65535)
    throw usageError(`invalid port ${JSON.stringify(text)} (need 0 to 65535)`)
  return Number(text)
}

export function parseNetworkId(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65535)
    throw usageError(`invalid network id ${JSON.stringify(text)} (need 0 to 65535)`)
  return Number(text)
}

/** Decimal uint32, else `undefined`. */
export function parseNodeId(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= 0xffffffff ? Number(text) : undefined
}

/** Flag values that mean true: absent value, `true`, `1` (spec/08 §2). */
export function isTrue(value: unknown): boolean {
  return value === true || value === 'true' || value === '1' || value === ''
}

const SIZES = ['B', 'KB', 'MB', 'GB', 'TB'] as const

/** Powers of 1024 with one digit. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < SIZES.length - 1) {
    value /= 1024
    unit++
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${SIZES[unit]}`
}

/** `HH:MM:SS` */
export function formatUptime(seconds: number): string {
  const two = (value: number): string => `${Math.floor(value)}`.padStart(2, '0')
  return `${two(seconds / 3600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}`
}

export function formatMs(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)}s`
  return ms < 1 ? `${ms.toFixed(3)}ms` : ms < 100 ? `${ms.toFixed(2)}ms` : `${Math.round(ms)}ms`
}

/** Three decimals, as `rtt_ms` and its like are printed. */
export function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

/** RFC 3339, UTC, whole seconds. */
export function formatUnixTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z')
}
