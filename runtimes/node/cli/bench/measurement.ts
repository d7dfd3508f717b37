/** The long measurement: connections, round trips by size, sustained throughput, and what it takes. */

import type { SocketAddress } from '../../../../core/wire/address.ts'
import type { DaemonClient } from '../../ipc/client.ts'
import type { DaemonConnection } from '../../ipc/client-connection.ts'
import { roundTrip, type Transfer, transfer } from './echo-transfer.ts'
import { findSocketOwner, findUdpOwner, UsageMeter } from './process-usage.ts'

export const LATENCY_SIZES: readonly number[] = [1024, 10 * 1024, 100 * 1024, 1024 * 1024]

/** Dials that are timed, so far apart: a stranger may open ten streams a second. */
const DIALS = 20
const DIAL_GAP_MS = 120
/** Round trips per size: at most so many, at most a tenth of the duration, at least three. */
const ROUNDS_MAX = 1000
const ROUNDS_MIN = 3
const SIZE_MS_MAX = 5000
/** Round trips of the smallest size that do not count: programs that have just begun are slower than they will be. */
const WARM_UP = { rounds: 300, ms: 500 } as const

export interface ProcessCost {
  readonly pid: number
  /** During the throughput part. */
  readonly cpuMs: number
  readonly ms: number
  readonly rssBytes: number
}

/** Grows while it is made: what an interrupt leaves is what there is. */
export interface Measurement {
  /** The tunnel is made by it, where there was none. */
  firstDialMs: number | undefined
  readonly dialsMs: number[]
  /** From the dial to the first byte that is back. */
  readonly firstBytesMs: number[]
  readonly roundTripsMs: { readonly bytes: number; readonly values: number[] }[]
  throughput: Transfer | undefined
  own: ProcessCost | undefined
  peer: ProcessCost | undefined
}

export interface MeasurementContext {
  readonly daemon: DaemonClient
  readonly socketPath: string
  readonly to: SocketAddress
  /** The first connection; it is used and closed. */
  readonly connection: DaemonConnection
  readonly firstDialMs: number
  /** Of the throughput part; the others take at most half as long again and three seconds. */
  readonly durationMs: number
  /** The time is over: an error. */
  readonly signal: AbortSignal
  /** The user has enough: what was measured is reported. */
  readonly interrupt: AbortSignal
  readonly onstep: (text: string, share: number) => void
}

export function emptyMeasurement(): Measurement {
  return {
    firstDialMs: undefined,
    dialsMs: [],
    firstBytesMs: [],
    roundTripsMs: [],
    throughput: undefined,
    own: undefined,
    peer: undefined,
  }
}

/** Fills `into`. @throws what the connection throws, unless that is because of the interrupt. */
export async function measure(into: Measurement, context: MeasurementContext): Promise<void> {
  try {
    into.firstDialMs = context.firstDialMs
    await measureDials(into, context)
    await measureRoundTrips(into, context)
    await measureThroughput(into, context)
  } catch (error) {
    if (!context.interrupt.aborted) throw error
  }
}

async function measureDials(into: Measurement, context: MeasurementContext): Promise<void> {
  const { daemon, to, interrupt } = context
  const signal = AbortSignal.any([context.signal, interrupt])
  for (let i = 0; i < DIALS; i++) {
    context.onstep('connections', i / DIALS)
    const started = performance.now()
    const connection = await daemon.dial(to, { signal })
    try {
      into.dialsMs.push(performance.now() - started)
      await roundTrip(connection, 1, signal)
      into.firstBytesMs.push(performance.now() - started)
    } finally {
      connection.close()
    }
    await pause(DIAL_GAP_MS, signal)
  }
}

async function measureRoundTrips(into: Measurement, context: MeasurementContext): Promise<void> {
  const { connection } = context
  const signal = AbortSignal.any([context.signal, context.interrupt])
  const budgetMs = Math.min(SIZE_MS_MAX, context.durationMs / 10)
  const warmUntil = performance.now() + Math.min(WARM_UP.ms, budgetMs)
  for (let i = 0; i < WARM_UP.rounds && performance.now() < warmUntil; i++)
    await roundTrip(connection, LATENCY_SIZES[0]!, signal)
  for (const bytes of LATENCY_SIZES) {
    const values: number[] = []
    into.roundTripsMs.push({ bytes, values })
    const started = performance.now()
    for (let elapsed = 0; values.length < ROUNDS_MAX; elapsed = performance.now() - started) {
      if (elapsed >= budgetMs && values.length >= ROUNDS_MIN) break
      if (values.length % 10 === 0)
        context.onstep(`round trips of ${bytes / 1024} KB`, Math.min(1, elapsed / budgetMs))
      values.push(await roundTrip(connection, bytes, signal))
    }
  }
}

async function measureThroughput(into: Measurement, context: MeasurementContext): Promise<void> {
  const { connection, durationMs, signal, interrupt } = context
  const [ownPid, peerPid] = await pidsOf(context)
  const meters = await Promise.all([UsageMeter.start(ownPid), UsageMeter.start(peerPid)])
  try {
    into.throughput = await transfer(
      connection,
      {
        durationMs,
        interrupt,
        onprogress: (bytes, ms) =>
          context.onstep(
            `throughput, ${(bytes / 2 ** 20 / (ms / 1000)).toFixed(1)} MiB/s`,
            Math.min(1, ms / durationMs),
          ),
      },
      signal,
    )
  } finally {
    connection.close()
    const [own, peer] = await Promise.all(meters.map((meter) => meter?.stop()))
    if (own !== undefined) into.own = { pid: ownPid!, ...own }
    if (peer !== undefined) into.peer = { pid: peerPid!, ...peer }
  }
}

/** Of our daemon as it says itself, or by its socket (the reference says nothing); of the peer's where its UDP socket is on this machine. */
async function pidsOf({
  daemon,
  socketPath,
  to,
}: MeasurementContext): Promise<[own: number | undefined, peer: number | undefined]> {
  const info = await daemon.info()
  const own = typeof info.pid === 'number' ? info.pid : await findSocketOwner(socketPath)
  const peer = to.address.node
  const list: readonly unknown[] = Array.isArray(info.peer_list) ? info.peer_list : []
  for (const one of list) {
    const { node_id: id, endpoint } = (one ?? {}) as Record<string, unknown>
    if (id === peer && typeof endpoint === 'string' && endpoint !== '')
      return [own, await findUdpOwner(endpoint)]
  }
  return [own, undefined]
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done, { once: true })
  })
}
