/** Services of other nodes, for programs at the edge: names on port 53. */
import type { Address } from '../../core/index.ts'
import type { PilotNode } from '../shared/api.ts'
import { NameClient } from '../shared/services/name-service.ts'
import { setTimer } from './timer.ts'

/** Asks, and registers at, the nameserver that runs on a node (`pilot-daemon -nameserver`). */
export function nameserverOf(node: PilotNode, server: Address): NameClient {
  return new NameClient({ node, server, setTimer })
}
