/** A measurement as JSON members and as lines for people. */
import { formatBytes, formatMs, roundMs } from '../values.ts'
import { cpuPercent } from './chart.ts'
import type { Transfer } from './echo-transfer.ts'
import type { Measurement, ProcessCost } from './measurement.ts'
import { ascending, histogram, percentile, type Summary, summarize } from './statistics.ts'

const MIB = 2 ** 20

/** Members of the reference, where MiB per second are called mbps (spec/08 §3.7), and the same by their name. */
export function transferMembers(transfer: Transfer): Record<string, unknown> {
  const send = rate(transfer.sentBytes, transfer.sendMs)
  const total = rate(transfer.receivedBytes, transfer.totalMs)
  return {
    sent_bytes: transfer.sentBytes,
    recv_bytes: transfer.receivedBytes,
    send_duration_ms: Math.round(transfer.sendMs),
    total_duration_ms: Math.round(transfer.totalMs),
    send_mbps: send,
    total_mbps: total,
    send_mib_per_s: send,
    total_mib_per_s: total,
  }
}

export function transferLines({ sentBytes, sendMs, receivedBytes, totalMs }: Transfer): string[] {
  return [
    `  Sent:     ${formatBytes(sentBytes)} handed to the daemon in ${formatMs(sendMs)} (${rate(sentBytes, sendMs).toFixed(1)} MiB/s)`,
    `  Echoed:   ${formatBytes(receivedBytes)} in ${formatMs(totalMs)} (${rate(receivedBytes, totalMs).toFixed(1)} MiB/s round-trip, every byte compared)`,
  ]
}

/** What only the long measurement has. */
export function measurementMembers(measurement: Measurement): Record<string, unknown> {
  const { firstDialMs, dialsMs, firstBytesMs, roundTripsMs, throughput, own, peer } = measurement
  const seconds = throughput?.perSecond ?? []
  const sorted = ascending(seconds)
  const bytes = throughput?.receivedBytes ?? 0
  return {
    ...(firstDialMs !== undefined && { first_connect_ms: roundMs(firstDialMs) }),
    connect_ms: summaryMembers(summarize(dialsMs)),
    first_byte_ms: summaryMembers(summarize(firstBytesMs)),
    latency: roundTripsMs.map(({ bytes: size, values }) => ({
      bytes: size,
      ...summaryMembers(summarize(values)),
      histogram: histogram(values).map(({ upTo, count }) => ({ up_to_ms: roundMs(upTo), count })),
    })),
    throughput: {
      seconds: seconds.map((one) => one / MIB),
      p1_mib_per_s: seconds.length === 0 ? null : percentile(sorted, 0.01) / MIB,
      p50_mib_per_s: seconds.length === 0 ? null : percentile(sorted, 0.5) / MIB,
    },
    usage: { own: costMembers(own, bytes), peer: costMembers(peer, bytes) },
  }
}

export function measurementLines(measurement: Measurement): string[] {
  const { firstDialMs, dialsMs, firstBytesMs, roundTripsMs, throughput, own, peer } = measurement
  const lines: string[] = []
  const dials = summarize(dialsMs)
  const firsts = summarize(firstBytesMs)
  if (firstDialMs !== undefined)
    lines.push(
      `  Connect:  first ${formatMs(firstDialMs)}${dials === undefined ? '' : `, then p50 ${formatMs(dials.p50)}  p99 ${formatMs(dials.p99)}  max ${formatMs(dials.max)} (${dials.count} times)`}`,
    )
  if (firsts !== undefined)
    lines.push(
      `            with the first byte back p50 ${formatMs(firsts.p50)}  p99 ${formatMs(firsts.p99)}`,
    )
  const rows = roundTripsMs.flatMap(({ bytes, values }) => {
    const summary = summarize(values)
    return summary === undefined ? [] : [[bytes, summary] as const]
  })
  for (const [i, [bytes, { p50, p90, p99, max, count }]] of rows.entries())
    lines.push(
      `${i === 0 ? '  Latency: ' : '           '}${sizeText(bytes)}  p50 ${cell(p50)}  p90 ${cell(p90)}  p99 ${cell(p99)}  max ${cell(max)}  (${count} times)`,
    )
  if (throughput !== undefined) {
    lines.push(...transferLines(throughput))
    const sorted = ascending(throughput.perSecond)
    if (sorted.length > 0)
      lines.push(
        `            each second: p50 ${(percentile(sorted, 0.5) / MIB).toFixed(1)} MiB/s, p1 ${(percentile(sorted, 0.01) / MIB).toFixed(1)} MiB/s (${sorted.length} s)`,
      )
    lines.push(`  Daemon:   ${costLine(own, throughput.receivedBytes)}`)
    lines.push(`  Peer:     ${costLine(peer, throughput.receivedBytes)}`)
  }
  return lines
}

function summaryMembers(
  summary: Summary | undefined,
): Record<string, number> | { readonly count: 0 } {
  if (summary === undefined) return { count: 0 }
  const { count, min, p50, p90, p99, max } = summary
  return {
    count,
    min_ms: roundMs(min),
    p50_ms: roundMs(p50),
    p90_ms: roundMs(p90),
    p99_ms: roundMs(p99),
    max_ms: roundMs(max),
  }
}

function costMembers(
  cost: ProcessCost | undefined,
  bytes: number,
): Record<string, number> | 'unknown' {
  if (cost === undefined) return 'unknown'
  return {
    pid: cost.pid,
    cpu_s: cost.cpuMs / 1000,
    cpu_percent: Math.round(cpuPercent(cost) * 10) / 10,
    ...(bytes > 0 && { cpu_s_per_gb: cost.cpuMs / 1000 / (bytes / 1e9) }),
    rss_bytes: cost.rssBytes,
  }
}

function costLine(cost: ProcessCost | undefined, bytes: number): string {
  if (cost === undefined) return 'CPU and memory unknown'
  const perGb =
    bytes === 0 ? '' : `, ${(cost.cpuMs / 1000 / (bytes / 1e9)).toFixed(2)} CPU s per GB echoed`
  return `CPU ${cpuPercent(cost).toFixed(0)} % of a processor${perGb}, memory ${formatBytes(cost.rssBytes)} (pid ${cost.pid})`
}

function sizeText(bytes: number): string {
  return (bytes >= MIB ? `${bytes / MIB} MB` : `${bytes / 1024} KB`).padStart(7)
}

function cell(ms: number): string {
  return formatMs(ms).padEnd(8)
}

/** MiB per second. */
function rate(bytes: number, ms: number): number {
  return ms === 0 ? 0 : bytes / MIB / (ms / 1000)
}
