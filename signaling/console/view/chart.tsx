/** A live chart of throughput, and of round trips where they are known; drawn by uPlot. */
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { formatBytes, formatClock, formatMs } from '../model/format.ts'
import { SAMPLES, type Samples } from '../model/traffic.ts'

const HEIGHT = 180

export interface TrafficChartProps {
  readonly samples: Samples
  readonly label: string
  readonly hasRtt?: boolean
}

export function TrafficChart({ samples, label, hasRtt = false }: TrafficChartProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null)
  const chart = useRef<uPlot | undefined>(undefined)
  const latest = useRef(samples)
  latest.current = samples

  useEffect(() => {
    const element = place.current
    if (element === null) return
    const draw = (): void => {
      chart.current?.destroy()
      chart.current = new uPlot(options(element, hasRtt), columns(latest.current, hasRtt), element)
      tellNow(chart.current, latest.current)
    }
    draw()
    const resized = new ResizeObserver(() =>
      chart.current?.setSize({ width: element.clientWidth, height: HEIGHT }),
    )
    resized.observe(element)
    // The canvas has its colours from the style sheet, once.
    const scheme = matchMedia('(prefers-color-scheme: dark)')
    scheme.addEventListener('change', draw)
    return () => {
      resized.disconnect()
      scheme.removeEventListener('change', draw)
      chart.current?.destroy()
      chart.current = undefined
    }
  }, [hasRtt])

  useEffect(() => {
    chart.current?.setData(columns(samples, hasRtt))
    tellNow(chart.current, samples)
  }, [samples, hasRtt])

  return (
    <div
      ref={place}
      class="chart"
      role="img"
      aria-label={`${label}. ${summary(samples, hasRtt)}`}
    />
  )
}

/** Under no pointer the legend tells of now. */
function tellNow(chart: uPlot | undefined, { at }: Samples): void {
  if ((chart?.cursor.left ?? -1) < 0) chart?.setLegend({ idx: at.length - 1 })
}

/** What the picture shows, for who does not see it. */
function summary({ sent, received, rttMs }: Samples, hasRtt: boolean): string {
  const rtt = rttMs.at(-1)
  return (
    `Now ${formatBytes(sent.at(-1) ?? 0)} per second out, ${formatBytes(received.at(-1) ?? 0)} in` +
    `${hasRtt && typeof rtt === 'number' ? `, round trip ${formatMs(rtt)}` : ''}.`
  )
}

function columns({ at, sent, received, rttMs }: Samples, hasRtt: boolean): uPlot.AlignedData {
  const data = [[...at], [...sent], [...received]]
  if (hasRtt) data.push([...rttMs])
  return data as uPlot.AlignedData
}

/** A canvas knows no custom properties: an element says what they come to in this colour scheme. */
function colorReader(element: HTMLElement): (property: string) => string {
  const probe = document.createElement('span')
  return (property) => {
    element.append(probe)
    probe.style.color = `var(${property})`
    const { color } = getComputedStyle(probe)
    probe.remove()
    return color
  }
}

function options(element: HTMLElement, hasRtt: boolean): uPlot.Options {
  const color = colorReader(element)
  const axis = (): uPlot.Axis => ({
    stroke: color('--chart-text'),
    grid: { stroke: color('--chart-line'), width: 1 },
    ticks: { show: false },
    font: '12px system-ui, sans-serif',
  })
  const bytes = (value: number | null): string => (value === null ? '–' : `${formatBytes(value)}/s`)
  const series: uPlot.Series[] = [
    { value: (_chart, value) => (value === null ? '–' : formatClock(value * 1000)) },
    {
      label: 'Out',
      stroke: color('--chart-out'),
      width: 2,
      value: (_chart, value) => bytes(value),
    },
    {
      label: 'In',
      stroke: color('--chart-in'),
      width: 2,
      dash: [6, 3],
      value: (_chart, value) => bytes(value),
    },
  ]
  const axes: uPlot.Axis[] = [
    {
      ...axis(),
      space: 90,
      values: (_chart, values) => values.map((value) => formatClock(value * 1000)),
    },
    {
      ...axis(),
      size: 68,
      values: (_chart, values) => values.map((value) => formatBytes(value)),
      incrs: [
        1,
        16,
        64,
        256,
        1024,
        4096,
        16_384,
        65_536,
        2 ** 18,
        2 ** 20,
        2 ** 22,
        2 ** 24,
        2 ** 26,
        2 ** 28,
      ],
    },
  ]
  if (hasRtt) {
    series.push({
      label: 'Round trip',
      scale: 'ms',
      stroke: color('--chart-rtt'),
      width: 1.5,
      dash: [2, 3],
      value: (_chart, value) => (value === null ? '–' : formatMs(value)),
    })
    axes.push({
      ...axis(),
      scale: 'ms',
      side: 1,
      size: 60,
      grid: { show: false },
      values: (_chart, values) => values.map((value) => formatMs(value)),
    })
  }
  const atLeast =
    (least: number): uPlot.Range.Function =>
    (_chart, _low, high) => [0, Math.max(least, (high ?? 0) * 1.15)]
  return {
    width: Math.max(200, element.clientWidth),
    height: HEIGHT,
    series,
    axes,
    scales: {
      x: { time: true, range: (_chart, _low, high) => [(high ?? 0) - SAMPLES + 1, high ?? 0] },
      y: { range: atLeast(1024) },
      ...(hasRtt ? { ms: { range: atLeast(2) } } : {}),
    },
    cursor: { drag: { x: false, y: false }, y: false },
    legend: { live: true },
    ...(hasRtt ? {} : { padding: [null, 28, null, null] }),
  }
}
