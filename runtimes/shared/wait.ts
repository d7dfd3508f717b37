/** Waiting with an end: abort signals and timeouts. */
import { PilotError } from '../../core/errors.ts'

export interface WaitOptions {
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number | undefined
  /** The error at the timeout. */
  readonly onTimeout?: () => PilotError
  /** Called when the wait ends by signal or timeout, before it rejects. */
  readonly onCancel?: () => void
}

export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

/** A promise settled from outside, from a signal or by a timeout, whichever is first. */
export function defer<T>({
  signal,
  timeoutMs,
  onTimeout,
  onCancel,
}: WaitOptions = {}): Deferred<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  let timer: ReturnType<typeof setTimeout> | undefined
  const end = (): void => {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
  const cancel = (error: PilotError): void => {
    end()
    onCancel?.()
    reject(error)
  }
  const onAbort = (): void => cancel(abortError(signal))
  if (signal?.aborted === true) onAbort()
  else {
    signal?.addEventListener('abort', onAbort, { once: true })
    if (timeoutMs !== undefined)
      timer = setTimeout(
        () =>
          cancel(
            onTimeout?.() ?? new PilotError('ERR_TIMEOUT', `no answer within ${timeoutMs} ms`),
          ),
        timeoutMs,
      )
  }
  return {
    promise,
    resolve: (value) => {
      end()
      resolve(value)
    },
    reject: (error) => {
      end()
      reject(error)
    },
  }
}

export function abortError(signal: AbortSignal | undefined): PilotError {
  return new PilotError('ERR_ABORTED', 'the call was cancelled', { cause: signal?.reason })
}

/** Takes what waits under an id out of its table. */
export function settle<T>(table: Map<number, Deferred<T>>, id: number): Deferred<T> | undefined {
  const deferred = table.get(id)
  table.delete(id)
  return deferred
}
