/** How members of a state file are read: what cannot be is refused by name. */
import { StorageError } from '../core/errors.ts'
import { parseRfc3339 } from '../core/time-text.ts'

export type Members = Readonly<Record<string, unknown>>

export function corrupt(what: string): StorageError {
  return new StorageError('ERR_STORE_CORRUPT', `the snapshot is not usable: ${what}`)
}

export function object(value: unknown, what: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw corrupt(`${what}: expected an object`)
  return value as Members
}

/** Go writes an empty list as null. */
export function array(value: unknown, what: string): readonly unknown[] {
  if (value === null) return []
  if (!Array.isArray(value)) throw corrupt(`${what}: expected a list`)
  return value
}

export function integer(value: unknown, most: number, what: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > most)
    throw corrupt(`${what}: out of range`)
  return value
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

export function timeOf(value: unknown): number | undefined {
  return typeof value === 'string' ? parseRfc3339(value) : undefined
}
