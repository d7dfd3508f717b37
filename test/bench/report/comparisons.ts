/** Ours beside the others: what a user would pick instead, and what the machine allows at all. */
import { FIGURES, type Result } from './result.ts'
import { spread } from './statistics.ts'

export interface Comparison {
  readonly work: string
  readonly unit: string
  readonly ours: string
  readonly oursTitle: string
  readonly oursValue: number
  readonly other: string
  readonly otherTitle: string
  readonly otherValue: number
  /** How many times better ours is: above 1 is faster, or smaller. */
  readonly ratio: number
  /** What is aimed at, as such a ratio. */
  readonly aim: number | undefined
}

type Aim = readonly [other: string, aim?: number, otherFigure?: string]

const AIMS: readonly (readonly [ours: string, figure: string, against: readonly Aim[]])[] = [
  [
    'ours-1152',
    'bulkMbits',
    [
      ['udp-1152', 0.75],
      ['libp2p-quic', 1],
      ['data-channel', 1],
    ],
  ],
  ['ours-1152-native', 'bulkMbits', [['udp-1152', 1.5]]],
  [
    'ours-mtu',
    'bulkMbits',
    [
      ['udp-16384', 0.5],
      ['libp2p-tcp', 1],
      ['grpc', 1],
      ['hyperdht', 1],
      ['ws', 1],
      ['http2'],
      ['tls'],
      ['tcp'],
    ],
  ],
  ['ours-mtu-native', 'bulkMbits', [['udp-16384', 0.5], ['libp2p-tcp', 1], ['tls'], ['tcp']]],
  [
    'ours-mtu',
    'messagesMbits',
    [
      ['libp2p-tcp', 1],
      ['grpc', 1],
      ['ws', 1],
    ],
  ],
  [
    'ours-mtu',
    'echo1024P50Us',
    [['udp-1152', 0.8], ['libp2p-tcp', 1], ['http2', 1], ['grpc', 1], ['hyperdht'], ['tcp']],
  ],
  ['ours-mtu-native', 'echo1024P50Us', [['udp-1152', 0.8], ['tcp']]],
  ['ours-mtu', 'echo1048576P50Us', [['libp2p-tcp', 1], ['grpc', 1], ['http2']]],
  ['ours-mtu', 'firstByteMs', [['tcp', 1, 'connectMs'], ['tls', 8, 'connectMs'], ['tcp']]],
  ['ours-mtu', 'firstContactMs', [['libp2p-tcp', 1], ['tls'], ['hyperdht']]],
  [
    'ours-mtu',
    'cpuSPerGb',
    [
      ['libp2p-tcp', 1],
      ['grpc', 1],
      ['hyperdht', 1],
    ],
  ],
  ['ours-mtu', 'rss1Mb', [['tcp'], ['hyperdht'], ['libp2p-tcp', 1]]],
  ['ours-mtu', 'rssManyMb', [['tcp'], ['hyperdht'], ['libp2p-tcp', 1]]],
  ['ours-daemon', 'bulkMbits', [['ours-mtu-native', 0.8]]],
  ['ours-daemon', 'messagesMbits', [['ours-mtu-native', 0.8]]],
  ['ours-daemon', 'echo1024P50Us', [['ours-mtu-native', 0.8]]],
  ['ours-daemon', 'echo1048576P50Us', [['ours-mtu-native', 0.8]]],
  ['ours-daemon', 'firstByteMs', [['ours-mtu-native', 0.8]]],
  ['pilotctl-ours', 'pingMs', [['pilotctl-g1'], ['pilotctl-g2']]],
  ['pilotctl-ours', 'fileMs', [['pilotctl-g1'], ['pilotctl-g2']]],
  ['pilotctl-ours', 'echoedMbits', [['pilotctl-g1'], ['pilotctl-g2']]],
  ['ours-daemon-1152', 'bulkMbits', [['ours-1152-native', 0.8]]],
]

/** Those of which both sides were measured. */
export function comparisons({ figures, rows }: Result): Comparison[] {
  const title = (id: string): string => rows.find((row) => row.id === id)?.title ?? id
  const list: Comparison[] = []
  for (const [ours, figure, against] of AIMS)
    for (const [other, aim, otherFigure = figure] of against) {
      const oursValue = spread(figures[ours]?.[figure])?.median
      const otherValue = spread(figures[other]?.[otherFigure])?.median
      const info = FIGURES.find(({ name }) => name === figure)
      if (oursValue === undefined || otherValue === undefined || info === undefined) continue
      const otherWork = otherFigure === figure ? '' : ', connect'
      list.push({
        work: info.title,
        unit: info.unit,
        ours,
        oursTitle: title(ours),
        oursValue,
        other,
        otherTitle: title(other) + otherWork,
        otherValue,
        ratio: info.isMoreBetter ? oursValue / otherValue : otherValue / oursValue,
        aim,
      })
    }
  return list
}
