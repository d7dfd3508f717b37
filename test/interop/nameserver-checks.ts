/** Names kept by a daemon of ours on port 53, asked for through any daemon; the reference ships its own disabled. */
import { type Checks, expectEqual } from './checks.ts'
import type { LiveNode } from './live-node.ts'

const PORT = '53'

/** `server` runs with `-nameserver`. */
export function nameserver(checks: Checks, client: LiveNode, server: LiveNode): Promise<boolean> {
  return checks.check(`nameserver ${client.name}>${server.name}`, async () => {
    const ask = async (message: string): Promise<string> =>
      (await client.ctl(['connect', server.address, PORT, '--message', message])).response
    const name = `db-${client.name.toLowerCase()}`
    expectEqual(await ask(`REGISTER A ${name} ${client.address}`), 'OK', 'answer to REGISTER A')
    expectEqual(await ask(`QUERY A ${name}`), `A ${name} ${client.address}`, 'answer to QUERY A')
    const service = `web-${client.name.toLowerCase()}`
    expectEqual(await ask(`REGISTER S ${service} ${client.address} 0 80`), 'OK', 'REGISTER S')
    expectEqual(await ask('QUERY S 0 80'), `S ${service} ${client.address} 80`, 'answer to QUERY S')
    expectEqual(
      await ask(`REGISTER A stolen ${server.address}`),
      'ERR cannot register address for another node',
      'a name for another node',
    )
    expectEqual(await ask('QUERY A nobody'), 'ERR name "nobody" not found', 'an unknown name')
    return name
  })
}
