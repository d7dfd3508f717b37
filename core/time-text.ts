/** RFC 3339 text of Unix seconds and back, without a calendar library or the runtime's `Date`. */

/** UTC, whole seconds: `2026-02-20T10:00:00Z`. */
export function formatRfc3339(unixSeconds: number): string {
  const days = Math.floor(unixSeconds / 86_400)
  const second = unixSeconds - days * 86_400
  const { year, month, day } = civilFromDays(days)
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')
  const date = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}`
  return `${date}T${two(second / 3600)}:${two((second / 60) % 60)}:${two(second % 60)}Z`
}

/** Whole Unix seconds of an RFC 3339 time with any offset; fractions are cut. `undefined` for other text. */
export function parseRfc3339(text: string): number | undefined {
  const match =
    /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))$/.exec(
      text,
    )
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
    return undefined
  const offset = (Number(match[8] ?? 0) * 60 + Number(match[9] ?? 0)) * 60
  const utc = daysFromCivil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
  return match[7] === '-' ? utc + offset : utc - offset
}

// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March.
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}

function civilFromDays(days: number): { year: number; month: number; day: number } {
  const z = days + 719_468
  const era = Math.floor(z / 146_097)
  const dayOfEra = z - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const mp = Math.floor((5 * dayOfYear + 2) / 153)
  const month = mp + (mp < 10 ? 3 : -9)
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * mp + 2) / 5) + 1,
  }
}

/** Milliseconds of the units in which Go writes durations. */
export const GO_UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}
