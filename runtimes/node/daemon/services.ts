/** The services a daemon offers by itself (spec/07 §0). Whom the node lets in may use them. */
import { PORT } from '../../../core/constants.ts'
import type { PilotNode } from '../../shared/api.ts'
import { serveEcho } from '../../shared/services/echo.ts'
import { serveStdio } from '../../shared/services/stdio.ts'
import type { LentPort } from '../ipc/server.ts'
import type { DaemonConfig } from './config.ts'
import type { Log } from './log.ts'
import { MailboxStore } from './mailbox-store.ts'
import { PortService } from './port-service.ts'

export interface ServiceContext {
  readonly node: PilotNode
  readonly config: DaemonConfig
  readonly home: string
  readonly log: Log
}

export function startServices(context: ServiceContext): {
  readonly lentPorts: readonly LentPort[]
} {
  const { node, config, log } = context
  const mailbox = new MailboxStore(context.home)
  const lentPorts: LentPort[] = []
  if (config.services.echo) new PortService(node, PORT.echo, serveEcho)
  if (config.services.stdio)
    lentPorts.push(
      new PortService(node, PORT.stdio, (connection) => {
        const from = connection.remote.address
        serveStdio(connection, {
          setTimer,
          deliver: async (message) => {
            const file = await mailbox.storeMessage({ type: 'TEXT', from, data: message })
            log.info('message received', { from: from.node, bytes: message.length, file })
          },
        })
      }),
    )
  return { lentPorts }
}

function setTimer(work: () => void, ms: number): () => void {
  const timer = setTimeout(work, ms).unref()
  return () => clearTimeout(timer)
}
