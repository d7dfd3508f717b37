/** Services of other nodes, for programs in Node: names on port 53, and datagrams for a whole network. */
import type { Address } from '../../core/index.ts'
import type { PilotNode } from '../shared/api.ts'
import { NameClient } from '../shared/services/name-service.ts'

/** Asks, and registers at, the nameserver that runs on a node (`pilot-daemon -nameserver`). */
export function nameserverOf(node: PilotNode, server: Address): NameClient {
  return new NameClient({
    node,
    server,
    setTimer: (work, ms) => {
      const timer = setTimeout(work, ms)
      return () => clearTimeout(timer)
    },
  })
}
