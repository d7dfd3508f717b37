/** Finding nodes: `find`, `lookup`, `register`, `identity show` (spec/08 §3.3). */
import type { Command } from 'commander'
import { toBase64 } from '../../../../core/bytes.ts'
import { RegistryRequests, withSignature } from '../../../../core/rendezvous/registry-requests.ts'
import type { Cli } from '../cli.ts'
import { usageError } from '../failure.ts'
import { loadIdentity } from '../identity-file.ts'
import { requestRegistry } from '../registry-request.ts'
import { formatFields } from '../table.ts'
import { parseNodeId } from '../values.ts'

export function addLookupCommands(program: Command, cli: Cli): void {
  program
    .command('find')
    .description('Node id and address of a hostname')
    .argument('<hostname>')
    .action((hostname: string) => find(cli, hostname))

  program
    .command('lookup')
    .description('What the registry tells about a node (asks the registry itself)')
    .argument('<node>', 'node id, address or hostname')
    .action(async (typed: string) => {
      const nodeId = parseNodeId(typed) ?? (await cli.targetNode(typed))
      cli.result(await requestRegistry(cli.registry, { type: 'lookup', node_id: nodeId }, 'lookup'))
    })

  program
    .command('register')
    .description('Register the stored identity at the registry, without a daemon')
    .argument('[listen_addr]', 'host:port peers may reach it at', '')
    .option('--identity <path>', 'identity file')
    .action(async (listenAddr: string, options: { identity?: string }) => {
      const { identity } = loadIdentity(cli, options.identity)
      const { message, challenge = '' } = new RegistryRequests(identity.publicKey, 0).register(
        listenAddr,
        '',
      )
      const signed = withSignature(message, identity.sign(challenge))
      cli.result(await requestRegistry(cli.registry, signed, 'register'))
    })

  program
    .command('rotate-key')
    .description('Give this node another key; its address stays, trust has to be made again')
    .argument('[node_id]', 'must be this node')
    .argument('[owner]', 'taken as the reference takes it, without effect')
    .action((typed?: string) => rotateKey(cli, typed))

  program
    .command('identity')
    .description('The key pair of this node')
    .command('show')
    .description('Public key, where it is stored, and the node it belongs to if the daemon runs')
    .option('--identity <path>', 'identity file')
    .action((options: { identity?: string }) => showIdentity(cli, options.identity))
}

async function find(cli: Cli, hostname: string): Promise<void> {
  const { nodeId, address, isPublic } = await cli.resolve(hostname)
  cli.result(
    { hostname, node_id: nodeId, address, public: isPublic },
    formatFields([
      ['Hostname', hostname],
      ['Node ID', `${nodeId}`],
      ['Address', address],
      ['Visible', isPublic ? 'public' : 'private'],
    ]),
  )
}

async function rotateKey(cli: Cli, typed: string | undefined): Promise<void> {
  if (typed !== undefined) {
    const { node_id: id } = await cli.request('info', (daemon) => daemon.info())
    if (typed !== `${id}`)
      throw usageError(`rotate-key: this is node ${id}, not ${typed}`, 'only its own node can')
  }
  const reply = await cli.request('rotate-key', (daemon) =>
    daemon.requestJson({ type: 'rotate-key' }),
  )
  cli.result(reply, [
    `new public key: ${reply.public_key}`,
    'the daemon starts again with it; peers that trusted the former key do not trust this one',
    '  over there: pilotctl untrust <this node>, then handshake again',
  ])
}

async function showIdentity(cli: Cli, typed: string | undefined): Promise<void> {
  const { identity, path } = loadIdentity(cli, typed)
  const publicKey = toBase64(identity.publicKey)
  let node: Record<string, unknown> | undefined
  try {
    const info = await (await cli.daemon()).info()
    if (info.public_key === publicKey) node = info
  } catch {
    // No daemon: what the file says is all there is.
  }
  cli.result(
    {
      path,
      public_key: publicKey,
      ...(node !== undefined && {
        node_id: node.node_id,
        address: node.address,
        hostname: node.hostname,
      }),
    },
    formatFields([
      ['Identity', path],
      ['Public key', publicKey],
      ...(node === undefined
        ? ([['Node', 'unknown until the daemon runs: pilotctl daemon start']] as const)
        : ([
            ['Node ID', `${node.node_id}`],
            ['Address', `${node.address}`],
            ['Hostname', `${node.hostname || '-'}`],
          ] as const)),
    ]),
  )
}
