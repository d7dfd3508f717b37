/** Text stands out from what it stands on, in both colour schemes: WCAG 2.2, 1.4.3 and 1.4.11. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const css = readFileSync(
  new URL('../../../signaling/console/styles/base.css', import.meta.url),
  'utf8',
)
const colors = new Map(
  [...css.matchAll(/--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)/g)].map(
    ([, name = '', light = '', dark = '']) => [name, { light, dark }],
  ),
)

function luminance(color: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(color.slice(at, at + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

function contrast(a: string, b: string): number {
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y)
  return (light + 0.05) / (dark + 0.05)
}

const TEXT = ['text', 'soft', 'accent', 'good', 'warn', 'bad']
const GROUND = ['back', 'card', 'sunken', 'tint']
const pairs: readonly (readonly [string, string, number])[] = [
  ...TEXT.flatMap((text) => GROUND.map((ground) => [text, ground, 4.5] as const)),
  ['on-accent', 'accent', 4.5],
  ['on-bad', 'bad', 4.5],
  ...GROUND.map((ground) => ['edge', ground, 3] as const),
]

describe.each(['light', 'dark'] as const)('in %s', (scheme) => {
  it.each(pairs)('%s on %s has at least %d', (front, ground, least) => {
    const [a, b] = [colors.get(front)?.[scheme], colors.get(ground)?.[scheme]]
    expect(a, front).toBeDefined()
    expect(b, ground).toBeDefined()
    expect(contrast(a ?? '', b ?? '')).toBeGreaterThanOrEqual(least)
  })
})
