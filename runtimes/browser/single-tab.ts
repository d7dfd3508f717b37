/** One node per origin and storage: two tabs with one identity would take each other's registration away. */
import { PilotError } from '../../core/index.ts'

/**
 * Takes the Web Lock of a storage, and gives what lets go of it. The browser does so itself when the page goes.
 *
 * @throws {PilotError} `ERR_ADDRESS_IN_USE` while another tab or worker of this origin holds it.
 */
export async function claimStorage(storageName: string): Promise<() => void> {
  const held = Promise.withResolvers<void>()
  const claimed = Promise.withResolvers<void>()
  void navigator.locks
    .request(`pilot-ts:${storageName}`, { ifAvailable: true }, (lock) => {
      if (lock === null)
        throw new PilotError(
          'ERR_ADDRESS_IN_USE',
          `another tab of this origin runs the node of ${JSON.stringify(storageName)}; close it, or give another storageName`,
        )
      claimed.resolve()
      return held.promise
    })
    .catch(claimed.reject)
  await claimed.promise
  return held.resolve
}
