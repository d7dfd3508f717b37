/** One node per origin and storage: two tabs with one identity would take each other's registration away. */
import { PilotError } from '../../core/index.ts'

/** A page that is gone, or was just loaded anew, lets go of its lock some milliseconds later. */
const GRACE_MS = 1000

/**
 * Takes the Web Lock of a storage, and gives what lets go of it. The browser does so itself when the page goes.
 *
 * @throws {PilotError} `ERR_ADDRESS_IN_USE` while another tab or worker of this origin holds it.
 */
export async function claimStorage(storageName: string): Promise<() => void> {
  const held = Promise.withResolvers<void>()
  const claimed = Promise.withResolvers<void>()
  void navigator.locks
    .request(`pilot-ts:${storageName}`, { signal: AbortSignal.timeout(GRACE_MS) }, () => {
      claimed.resolve()
      return held.promise
    })
    .catch(claimed.reject)
  try {
    await claimed.promise
  } catch (cause) {
    if (!(cause instanceof DOMException && cause.name === 'TimeoutError')) throw cause
    throw new PilotError(
      'ERR_ADDRESS_IN_USE',
      `another tab of this origin runs the node of ${JSON.stringify(storageName)}; close it, or give another storageName`,
      { cause },
    )
  }
  return held.resolve
}
