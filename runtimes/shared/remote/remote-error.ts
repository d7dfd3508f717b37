/** Errors across a lane: class, code and message survive; a cause is kept one level deep, as its message. */
import {
  ERROR_CODES,
  NetworkError,
  PilotError,
  type PilotErrorCode,
  SecurityError,
  StorageError,
  UsageError,
  WireError,
} from '../../../core/errors.ts'

const CLASSES = { PilotError, WireError, UsageError, NetworkError, SecurityError, StorageError }
type ClassName = keyof typeof CLASSES

export interface PackedError {
  readonly name: string
  /** `undefined` for what is none of ours. */
  readonly code: string | undefined
  readonly message: string
  readonly cause: string | undefined
}

export function packError(error: unknown): PackedError {
  if (!(error instanceof Error))
    return { name: 'Error', code: undefined, message: String(error), cause: undefined }
  const { name, message, cause } = error
  return {
    name,
    code: error instanceof PilotError ? error.code : undefined,
    message,
    cause: cause instanceof Error ? `${cause.name}: ${cause.message}` : undefined,
  }
}

/** Whatever came, as an error; one with an unknown code becomes a plain `Error`. */
export function unpackError(value: unknown): Error {
  const { name, code, message, cause } = (value ?? {}) as Partial<Record<string, unknown>>
  const text = typeof message === 'string' ? message : 'an error without a message'
  const options = typeof cause === 'string' ? { cause: new Error(cause) } : undefined
  if (!isErrorCode(code)) return new Error(text, options)
  const Class = CLASSES[isClassName(name) ? name : 'PilotError']
  return new Class(code, text, options)
}

/** As `unpackError`, for places whose contract is a `PilotError`. */
export function unpackPilotError(value: unknown): PilotError {
  const error = unpackError(value)
  return error instanceof PilotError
    ? error
    : new PilotError('ERR_ENGINE_LOST', error.message, { cause: error })
}

function isErrorCode(code: unknown): code is PilotErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code)
}

function isClassName(name: unknown): name is ClassName {
  return typeof name === 'string' && Object.hasOwn(CLASSES, name)
}
