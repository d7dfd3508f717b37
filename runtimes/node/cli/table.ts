/** Columns of text for people. */

/** Rows with every column as wide as its widest cell, two spaces between; the last is not padded. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...all.map((row) => width(row[column] ?? ''))))
  return all.map((row) =>
    header
      .map((_, column) => pad(printable(row[column] ?? ''), widths[column]!))
      .join('  ')
      .trimEnd(),
  )
}

/** `Label:   value` lines with the values in one column. */
export function formatFields(
  fields: readonly (readonly [label: string, value: string])[],
  indent = '',
): string[] {
  const widest = Math.max(...fields.map(([label]) => label.length)) + 1
  return fields.map(
    ([label, value]) => `${indent}${`${label}:`.padEnd(widest)} ${printable(value)}`,
  )
}

/** Text of peers must not move the cursor or clear the screen. */
export function printable(text: string): string {
  return text.replace(/(?![\t\n])\p{Cc}/gu, '\ufffd')
}

function width(text: string): number {
  return [...text].length
}

function pad(text: string, to: number): string {
  return text + ' '.repeat(Math.max(0, to - width(text)))
}

/** Objects of a list in a reply; none where it is null or missing, as Go writes empty ones. */
export function rowsOf(reply: Record<string, unknown>, key: string): Record<string, unknown>[] {
  const value = reply[key]
  return Array.isArray(value) ? value.filter((one) => typeof one === 'object' && one !== null) : []
}

/** A cell; `-` for nothing. */
export function cellText(value: unknown): string {
  return value === undefined || value === null || value === '' ? '-' : `${value as string | number}`
}
