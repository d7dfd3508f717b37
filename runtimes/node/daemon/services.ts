/** The services a daemon offers by itself (spec/07 §0). Whom the node lets in may use them. */
import { join } from 'node:path'
import { lossyUtf8 } from '../../../core/bytes.ts'
import { PORT } from '../../../core/constants.ts'
import { PilotError } from '../../../core/errors.ts'
import { type Address, formatAddress, formatSocketAddress } from '../../../core/wire/address.ts'
import type { PilotNode } from '../../shared/api.ts'
import { DataExchangeService } from '../../shared/services/data-exchange.ts'
import { serveEcho } from '../../shared/services/echo.ts'
import { EventStreamService } from '../../shared/services/event-stream.ts'
import { serveStdio } from '../../shared/services/stdio.ts'
import { TaskSubmitService } from '../../shared/services/task-submit.ts'
import type { LentPort } from '../ipc/server.ts'
import type { EmitWebhook } from '../webhook/webhook-events.ts'
import type { DaemonConfig } from './config.ts'
import type { Log } from './log.ts'
import { MailboxStore } from './mailbox-store.ts'
import { NameServer } from './name-server.ts'
import { PartialFile } from './partial-file.ts'
import { PortService } from './port-service.ts'
import { DaemonTaskDesk } from './task-desk.ts'

export interface ServiceContext {
  readonly node: PilotNode
  readonly config: DaemonConfig
  readonly home: string
  readonly log: Log
  /** Hears of what peers leave and say. */
  readonly emit?: EmitWebhook
}

export interface DaemonServices extends Disposable {
  readonly lentPorts: readonly LentPort[]
}

export function startServices(context: ServiceContext): DaemonServices {
  const { node, config, log, emit } = context
  const mailbox = new MailboxStore(context.home)
  const tellFile = (filename: string, size: number, file: string): void =>
    emit?.('file.received', { filename, size, path: join(mailbox.received, file) })
  const storeMessage = async (type: string, from: Address, payload: Uint8Array): Promise<void> => {
    try {
      const file = await mailbox.storeMessage(type, from, payload)
      log.info('message received', { from: from.node, type, bytes: payload.length, file })
      emit?.('message.received', { type, from: formatAddress(from), size: payload.length })
    } catch (error) {
      throw reported(log, 'message not stored', error)
    }
  }
  const storeFile = async (name: string, from: Address, data: Uint8Array): Promise<void> => {
    try {
      const file = await mailbox.storeFile(name, data)
      log.info('file received', { from: from.node, bytes: data.length, file })
      tellFile(name, data.length, file)
    } catch (error) {
      throw reported(log, 'file not stored', error)
    }
  }
  if (config.services.echo) new PortService(node, PORT.echo, serveEcho)
  if (config.services.dataExchange) {
    const exchange = new DataExchangeService({
      store: {
        storeMessage,
        storeFile,
        openIntake: (from, write) =>
          new PartialFile({ mailbox, from, write, log, stored: tellFile }),
      },
      unixNs: () => BigInt(Date.now()) * 1_000_000n,
      setTimer,
    })
    new PortService(node, PORT.dataExchange, (connection) => exchange.serve(connection))
  }
  if (config.services.eventStream) {
    const events = new EventStreamService(() => performance.now())
    if (emit !== undefined)
      events.onnews = (news, remote) => {
        const topic = lossyUtf8(Uint8Array.from(news.topic, (one) => one.charCodeAt(0)))
        const who = formatSocketAddress(remote)
        if (news.type === 'published')
          emit('pubsub.published', { topic, size: news.size, from: who })
        else emit(`pubsub.${news.type}`, { topic, remote: who })
      }
    new PortService(node, PORT.eventStream, (connection) => events.serve(connection))
  }
  const disposables: Disposable[] = []
  if (config.services.taskSubmit) {
    const desk = new DaemonTaskDesk(context)
    disposables.push(desk)
    const tasks = new TaskSubmitService({ desk, setTimer })
    new PortService(node, PORT.taskSubmit, (connection) => tasks.serve(connection))
  }
  if (config.services.nameserver) disposables.push(new NameServer({ ...context, setTimer }))
  const end = (): void => {
    for (const one of disposables.splice(0)) one[Symbol.dispose]()
  }
  if (!config.services.stdio) return { lentPorts: [], [Symbol.dispose]: end }
  const stdio = new PortService(node, PORT.stdio, (connection) =>
    serveStdio(connection, {
      setTimer,
      deliver: (message) => storeMessage('TEXT', connection.remote.address, message),
    }),
  )
  return { lentPorts: [stdio], [Symbol.dispose]: end }
}

/** The sender hears what went wrong without our paths; the log has all of it. */
function reported(log: Log, what: string, error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error)
  log.error(what, { reason: message })
  return new Error(
    error instanceof PilotError && error.code === 'ERR_LIMIT'
      ? message
      : 'the receiver cannot store it',
  )
}

function setTimer(work: () => void, ms: number): () => void {
  const timer = setTimeout(work, ms).unref()
  return () => clearTimeout(timer)
}
