/** The congestion controllers by the names that users choose from. */
import { UsageError } from '../errors.ts'
import { Adaptive } from './adaptive.ts'
import { Bbr } from './bbr.ts'
import type { CongestionController, CongestionOptions } from './congestion.ts'
import { Cubic } from './cubic.ts'

/**
 * - `auto`: CUBIC where losses come with a queue, a model of the path where they do not. The default.
 * - `cubic`: RFC 9438 alone; every loss slows it down.
 * - `bbr`: always the model. Fastest on links that lose a lot, and unfair to others where queues are short.
 */
export type CongestionName = 'auto' | 'cubic' | 'bbr'

export const CONGESTION_NAMES: readonly CongestionName[] = ['auto', 'cubic', 'bbr']

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` for any other name. */
export function controllerOf(
  name: CongestionName,
): (options: CongestionOptions) => CongestionController {
  if (!CONGESTION_NAMES.includes(name))
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `congestion is one of ${CONGESTION_NAMES.join(', ')}, got ${String(name)}`,
    )
  if (name === 'cubic') return (options) => new Cubic(options)
  if (name === 'bbr') return (options) => new Bbr(options)
  return (options) => new Adaptive(options)
}
