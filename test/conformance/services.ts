/** The services of the package, hosted and used by nodes of one runtime. */
import { fromUtf8, utf8 } from '../../core/index.ts'
import { DATA_FRAME, encodeDataFrame, encodeFileFrame } from '../../core/service/data-exchange.ts'
import { AsyncStream } from '../../runtimes/shared/services/async-stream.ts'
import { DataExchangeService } from '../../runtimes/shared/services/data-exchange.ts'
import { serveEcho } from '../../runtimes/shared/services/echo.ts'
import type { Stage } from './suite.ts'
import { bytesFrom, equal, generated, hashOf } from './tools.ts'

const FRAME_HEADER_BYTES = 8

export async function echoScenario({ alice, bob, keep }: Stage): Promise<void> {
  keep(alice.listen(7)).onconnection = serveEcho
  const connection = await bob.dial({ address: alice.address, port: 7 })
  const stream = new AsyncStream(connection)
  const data = generated(300_000)
  const [got] = await Promise.all([bytesFrom(stream, data.length), stream.write(data)])
  equal(hashOf(got), hashOf(data), 'what the echo returned')
  connection.close()
  await connection.closed
}

export async function exchangeScenario({ alice, bob, keep }: Stage): Promise<void> {
  const stored: string[] = []
  const service = new DataExchangeService({
    store: {
      storeMessage: async (type, from, payload) => {
        stored.push(`${type} of ${from.node}: ${fromUtf8(payload)}`)
      },
      storeFile: async (name, _from, data) => {
        stored.push(`${name}: ${hashOf(data)}`)
      },
    },
    unixNs: () => BigInt(Date.now()) * 1_000_000n,
    setTimer: (work, ms) => {
      const timer = setTimeout(work, ms)
      return () => clearTimeout(timer)
    },
  })
  keep(alice.listen(1001)).onconnection = (connection) => service.serve(connection)
  const connection = await bob.dial({ address: alice.address, port: 1001 })
  const stream = new AsyncStream(connection)
  const file = generated(100_000)
  for (const [frame, answer] of [
    [encodeDataFrame(DATA_FRAME.text, utf8('grüße')), 'ACK TEXT 7 bytes'],
    [encodeFileFrame('a.bin', file), 'ACK FILE 100000 bytes'],
  ] as const) {
    const answering = bytesFrom(stream, FRAME_HEADER_BYTES + answer.length)
    await stream.write(frame)
    equal(fromUtf8((await answering).subarray(FRAME_HEADER_BYTES)), answer, 'answer')
  }
  connection.close()
  await connection.closed
  equal(stored[0], `TEXT of ${bob.nodeId}: grüße`, 'message')
  equal(stored[1], `a.bin: ${hashOf(file)}`, 'file')
}
