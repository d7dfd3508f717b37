/** Rendezvous, two daemons and the command line of both, each of ours and the two generations; what cannot work. */
import type { Kind } from './programs.ts'

export interface Combination {
  readonly rendezvous: Kind
  readonly a: Kind
  readonly b: Kind
  /** Whose command line drives both. */
  readonly pilotctl: Kind
}

export function combinationName({ rendezvous, a, b, pilotctl }: Combination): string {
  return `${a} - ${b} at ${rendezvous} rendezvous, ${pilotctl} pilotctl`
}

/** Every combination of the kinds; the order of the two daemons says nothing. */
export function combinations(kinds: readonly Kind[]): Combination[] {
  const all: Combination[] = []
  for (const rendezvous of kinds)
    for (const [i, a] of kinds.entries())
      for (const b of kinds.slice(i))
        for (const pilotctl of kinds) all.push({ rendezvous, a, b, pilotctl })
  return all
}

/** Why a combination is not tried. */
export function exception({ rendezvous, a, b, pilotctl }: Combination): string | undefined {
  if (a === 'G1' && b === 'G1')
    return 'two G1 daemons answer the FIN of closed streams for ever, and eat the machine (spec/06 §13)'
  if (a !== b && a !== 'ours' && b !== 'ours')
    return 'G1 and G2 derive different keys: neither opens a frame of the other (spec/01 §6)'
  if (![rendezvous, a, b, pilotctl].includes('ours')) return 'nothing of ours takes part'
  return undefined
}

export type Part =
  | 'bench'
  | 'gateway'
  | 'nameserver'
  | 'networks'
  | 'private nodes'
  | 'secure channel'
  | 'silence'
  | 'untrust'

/** Parts of the story that a combination leaves out, and why. */
export function leftOut({ rendezvous, a, b, pilotctl }: Combination): Map<Part, string> {
  const parts = new Map<Part, string>()
  const has = (kind: Kind): boolean => a === kind || b === kind
  if ([rendezvous, a, b, pilotctl].includes('G1')) parts.set('networks', 'G1 knows none')
  if (pilotctl !== 'ours') {
    parts.set('gateway', 'that of the reference needs root (test/e2e/gateway.test.ts)')
    parts.set('secure channel', 'it does not depend on the command line')
  }
  if (!has('ours')) parts.set('nameserver', 'the daemons of the reference have none')
  if (rendezvous === 'G2' && (has('G1') || has('G2')))
    parts.set('private nodes', 'daemons of the reference do not say who asks for a name (05 §7)')
  if (pilotctl === 'G1' && has('G2'))
    parts.set('bench', 'that of G1 never ends on a daemon of G2, whoever the peer is')
  if (a === 'G2' && b === 'G2') {
    parts.set('silence', 'two of G2 answer the pongs of each other for ever (spec/03 C)')
    parts.set('bench', 'the pongs of two of G2 leave no time for it')
    parts.set('untrust', 'one of G2 does not tell the other')
    parts.set('gateway', 'a close between two of G2 may cut the answer (spec/03 §8.4)')
  }
  return parts
}
