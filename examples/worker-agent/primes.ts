/** Counts primes below a limit, on a thread of its own. */
import { parentPort, workerData } from 'node:worker_threads'

const LIMIT_MAX = 100_000_000

function countPrimes(limit: number): number {
  const isComposite = new Uint8Array(limit)
  let count = 0
  for (let n = 2; n < limit; n++) {
    if (isComposite[n] === 1) continue
    count++
    for (let multiple = n * n; multiple < limit; multiple += n) isComposite[multiple] = 1
  }
  return count
}

const limit: unknown = workerData
parentPort?.postMessage(
  typeof limit === 'number' && Number.isInteger(limit) && limit >= 0 && limit <= LIMIT_MAX
    ? `${countPrimes(limit)} primes below ${limit}`
    : `a whole number from 0 to ${LIMIT_MAX}, please`,
)
