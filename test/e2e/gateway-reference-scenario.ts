/**
 * Runs inside a network namespace: HTTP through a gateway of the reference on our daemon, and through ours on a daemon
 * of the reference, to a node of ours. The first argument is the generation, `G1` or `G2`. Prints one line of JSON.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatAddress } from '../../core/index.ts'
import { createNode } from '../../runtimes/node/index.ts'
import { LiveNode } from '../interop/live-node.ts'
import { type Generation, referenceFolder, referencePrograms } from '../interop/programs.ts'
import { PILOTCTL, Rendezvous, User } from './programs.ts'

const generation = process.argv[2] as Generation
const reference = referenceFolder(generation)
if (!('folder' in reference)) throw new Error(reference.missing)

/** Until the gateway serves, at most 5 s. */
async function get(url: string): Promise<string> {
  const until = performance.now() + 5000
  for (;;) {
    try {
      return await (await fetch(url)).text()
    } catch (error) {
      if (performance.now() > until) return `${error}`
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

const end = (child: ChildProcess): Promise<unknown> => {
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  return gone
}

const seen: Record<string, unknown> = {}
const rendezvous = await Rendezvous.start()
const { registry, beacon } = rendezvous
const user = new User(rendezvous)
const home = mkdtempSync(join(tmpdir(), 'pilot-gw-'))
const theirs = new LiveNode({
  name: 'theirs',
  hostname: 'theirs',
  kind: generation,
  drivenBy: generation,
  ...referencePrograms(reference.folder),
  home,
  registry,
  beacon,
  isPublic: true,
})
try {
  await using far = await createNode({ registry, beacon, isPublic: true })
  far.listen(80).onconnection = (connection) => {
    connection.onreadable = () => {
      if (connection.read() === undefined) return
      const body = `hello node ${connection.remote.address.node}`
      connection.write(
        Buffer.from(
          `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
        ),
      )
      connection.close()
    }
  }
  const target = formatAddress(far.address)
  const ours = (await user.ctl('daemon', 'start', '--public', '--json')).json
  const gateway = user.spawn(join(reference.folder, 'gateway'), [
    ...['-socket', `${ours.socket}`, '-ports', '80', 'run', target, '10.4.0.1'],
  ])
  seen.theirGateway = (await get('http://10.4.0.1/')) === `hello node ${ours.node_id}`
  await end(gateway)

  await theirs.start()
  user.env.PILOT_SOCKET = join(home, 'pilot.sock')
  const argv = ['gateway', 'start', '--ports', '80', '--subnet', '10.5.0.0/16', target]
  const own = user.spawn(process.execPath, [PILOTCTL, ...argv])
  seen.theirDaemon = (await get('http://10.5.0.1/')) === `hello node ${theirs.nodeId}`
  await end(own)
  user.env.PILOT_SOCKET = user.socket
} finally {
  await theirs.stop('SIGTERM')
  await user.dispose()
  await rendezvous.stop()
  rmSync(home, { recursive: true })
}
console.log(JSON.stringify(seen))
process.exit(0)
