/** The reference's flag syntax for commander: one or two dashes, `-flag value` or `-flag=value` (spec/08 §5). */

/**
 * Rewrites single-dash long flags to two dashes, and the values of boolean flags: `-tls=false` vanishes,
 * `-tls=true` becomes `--tls`. Everything after `--` is left alone.
 *
 * @param valued flags without dashes that take a value; the argument after one is never rewritten.
 */
export function normaliseArguments(
  args: readonly string[],
  valued: ReadonlySet<string>,
  booleans: ReadonlySet<string>,
): string[] {
  const out: string[] = []
  for (let i = 0; i < args.length; i++) {
    const argument = args[i]!
    if (argument === '--') return [...out, ...args.slice(i)]
    const match = /^--?([a-z][a-z-]+)(?:=(.*))?$/s.exec(argument)
    if (match === null) {
      out.push(argument)
      continue
    }
    const [, name = '', value] = match
    if (booleans.has(name) && value !== undefined) {
      const isTrue = parseBoolean(value)
      if (isTrue === undefined) out.push(`--${name}=${value}`)
      else if (isTrue) out.push(`--${name}`)
      continue
    }
    out.push(value === undefined ? `--${name}` : `--${name}=${value}`)
    if (value === undefined && valued.has(name) && i + 1 < args.length) out.push(args[++i]!)
  }
  return out
}

/** As the reference's flag package: `1 t true` and `0 f false`, in lower, upper or title case. */
export function parseBoolean(text: string): boolean | undefined {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false
  return undefined
}
