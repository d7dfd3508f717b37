/** What this node offers to others: echo on port 7, messages and files on port 1001. */
import { sha256 } from '@noble/hashes/sha2.js'
import { toHex } from '../../../core/bytes.ts'
import { PORT } from '../../../core/constants.ts'
import type { PilotNode } from '../../../runtimes/browser/index.ts'
import { DataExchangeService } from '../../../runtimes/shared/services/data-exchange.ts'
import { serveEcho } from '../../../runtimes/shared/services/echo.ts'
import type { Chat } from './chat.ts'
import { IncomingFile } from './incoming-file.ts'
import { LimitError } from './limit-error.ts'
import type { ReceivedFiles } from './received-files.ts'
import type { TransferList } from './transfer-list.ts'

export interface ServicesOptions {
  readonly node: PilotNode
  readonly chat: Chat
  readonly transfers: TransferList
  readonly files: ReceivedFiles
  readonly onfile: (nodeId: number, name: string) => void
}

/** All of them or none. @throws {PilotError} `ERR_PORT_IN_USE`. */
export function startServices({ node, chat, transfers, files, onfile }: ServicesOptions): void {
  const exchange = new DataExchangeService({
    unixNs: () => BigInt(Date.now()) * 1_000_000n,
    setTimer: (work, ms) => {
      const timer = setTimeout(work, ms)
      return () => clearTimeout(timer)
    },
    store: {
      storeMessage: (type, from, payload) => chat.receive(from.node, type, payload),
      storeFile: async (name, { node: nodeId }, data) => {
        const release = await files.reserve(data.length).catch(refused)
        const blob = new Blob([new Uint8Array(data)])
        release()
        const size = data.length
        await files.add({ nodeId, name, size, sha256: toHex(sha256(data)), blob }).catch(refused)
        onfile(nodeId, name)
      },
      openIntake: ({ node: nodeId }, write) =>
        new IncomingFile({
          nodeId,
          list: transfers,
          files,
          write,
          onstored: (name) => onfile(nodeId, name),
        }),
    },
  })
  const inbox = node.listen(PORT.dataExchange)
  inbox.onconnection = (connection) => {
    // A public node is reachable by anybody; what is kept here comes from nodes that were approved.
    if (node.trust.isTrusted(connection.remote.address.node)) exchange.serve(connection)
    else connection.reset()
  }
  try {
    node.listen(PORT.echo).onconnection = serveEcho
  } catch (error) {
    inbox.close()
    throw error
  }
}

/** The sender is told of limits, and of nothing else here. */
function refused(error: unknown): never {
  throw error instanceof LimitError ? error : new Error('the receiver cannot store it')
}
