/** Quantities, times and untrusted text as people read them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB'] as const

/** `0 B`, `1.5 KiB`, `32 MiB`. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes)
  let unit = 0
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  const digits = unit === 0 || value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2
  return `${Number(value.toFixed(digits))} ${UNITS[unit]}`
}

/** `bytesPerSecond` as `1.5 MiB/s`. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`
}

/** `840 µs`, `4.2 ms`, `130 ms`, `1.2 s`. */
export function formatMs(ms: number): string {
  if (ms === 0) return '0 ms'
  if (ms < 1) return `${Math.round(ms * 1000)} µs`
  if (ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  return `${(ms / 1000).toFixed(1)} s`
}

/** Whole seconds as `8 s`, `3 min 5 s`, `2 h 10 min`; `–` when there is no telling. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–'
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}

/** Clock time of a Unix time in ms; with the date when that is another day. */
export function formatTime(unixMs: number, nowMs: number = Date.now()): string {
  const at = new Date(unixMs)
  const isToday = at.toDateString() === new Date(nowMs).toDateString()
  const clock = at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
  return isToday
    ? clock
    : `${at.toLocaleDateString([], { month: 'short', day: 'numeric' })}, ${clock}`
}

/** `14:05:09`, local time. */
export function formatClock(unixMs: number): string {
  const at = new Date(unixMs)
  const parts = [at.getHours(), at.getMinutes(), at.getSeconds()]
  return parts.map((part) => String(part).padStart(2, '0')).join(':')
}

/** The value below which `share` (0 to 1) of them lie; nearest rank. NaN for none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}

/** Characters that turn the reading direction of what follows, and controls: nobody's name needs them. */
const INVISIBLE = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu

/** One line of somebody else's text, at most `charactersMax` long. It is still only ever shown as text. */
export function displayLine(text: string, charactersMax = 200): string {
  const clean = text.replace(INVISIBLE, ' ').trim()
  const characters = Array.from(clean)
  return characters.length <= charactersMax
    ? clean
    : `${characters.slice(0, charactersMax - 1).join('')}…`
}

/** Several lines of somebody else's text: as above, line breaks and tabs kept. */
export function displayText(text: string, charactersMax: number): string {
  const clean = text.replace(INVISIBLE, (one) => (one === '\n' || one === '\t' ? one : ''))
  return clean.length <= charactersMax
    ? clean
    : `${clean.slice(0, charactersMax)}… (${clean.length - charactersMax} more)`
}
