/** Datagrams: `listen` and `dgram` (spec/08 §3.4, §6.2). */
import type { Command } from 'commander'
import { PilotError } from '../../../../core/errors.ts'
import { BROADCAST_NODE, formatAddress } from '../../../../core/wire/address.ts'
import { encodeJson } from '../../ipc/json.ts'
import { adminTokenOf } from '../admin-token.ts'
import type { Cli } from '../cli.ts'
import { Deadline } from '../deadline.ts'
import { CliError, lost, requestFailure, usageError } from '../failure.ts'
import { printable } from '../table.ts'
import { textData } from '../text-data.ts'
import { isTrue, parseCount, parseDuration, parseNetworkId, parsePort } from '../values.ts'

export function addDatagramCommands(program: Command, cli: Cli): void {
  program
    .command('listen')
    .description('Print the datagrams that arrive for a port')
    .argument('<port>', 'virtual port')
    .option('--count <n>', 'stop after so many; 0 goes on', '0')
    .option('--timeout <duration>', 'stop after this long; 0 never', '0')
    .option('--strict [bool]', 'exit 1 when nothing came, with --json too')
    .action(listen.bind(undefined, cli))

  program
    .command('dgram')
    .description('Send one datagram; it may be lost on its way')
    .argument('<target>', 'address, node id or hostname')
    .argument('<port>', 'virtual port')
    .option('--data <text>', 'what to send, at least 1 byte')
    .option('--timeout <duration>', 'longest wait for a tunnel to the peer', '15s')
    .action(sendDatagram.bind(undefined, cli))

  program
    .command('broadcast')
    .description('Send one datagram to every other member of a network; each may be lost')
    .argument('<network_id>')
    .argument('<message>', 'at least 1 byte')
    .option('--port <n>', 'virtual port', '1000')
    .action(broadcast.bind(undefined, cli))
}

async function listen(
  cli: Cli,
  portText: string,
  options: { count: string; timeout: string; strict?: string },
): Promise<void> {
  const port = parsePort(portText)
  const count = parseCount(options.count, 'count')
  const daemon = await cli.daemon()
  using deadline = new Deadline(parseDuration(options.timeout, 'timeout'), cli.io.signal)
  const messages: Record<string, unknown>[] = []
  let seen = 0
  await new Promise<void>((resolve, reject) => {
    deadline.signal.addEventListener('abort', () => resolve(), { once: true })
    daemon.onLost(() => reject(requestFailure('listen', lost())))
    daemon.onDatagram(({ source, destinationPort, data }) => {
      if (destinationPort !== port || (count > 0 && seen >= count)) return
      seen++
      const address = formatAddress(source.address)
      const message = { src_addr: address, src_port: source.port, ...textData(data) }
      if (!cli.json) cli.line(printable(`[${address}:${source.port}] ${message.data}`))
      else if (count > 0) messages.push(message)
      else cli.line(encodeJson(message))
      if (seen === count) resolve()
    })
  })
  const timeout = count > 0 ? seen < count : seen === 0
  if (timeout && deadline.isOver && !cli.io.signal.aborted) cli.note('timeout')
  if (seen === 0 && !cli.io.signal.aborted)
    cli.failSoftly(options.strict !== undefined && isTrue(options.strict))
  if (count > 0) cli.result({ messages, timeout }, [])
}

async function sendDatagram(
  cli: Cli,
  typed: string,
  portText: string,
  options: { data?: string; timeout: string },
): Promise<void> {
  const port = parsePort(portText)
  if (options.data === undefined || options.data === '') throw usageError('--data is required')
  const data = new TextEncoder().encode(options.data)
  const target = await cli.target(typed)
  const to = { address: target.address, port }
  const daemon = await cli.daemon()
  await cli.facts(target)
  using deadline = new Deadline(parseDuration(options.timeout, 'timeout'), cli.io.signal)
  let confirmed = true
  try {
    await daemon.sendToConfirm(to, data, { signal: deadline.signal })
  } catch (error) {
    if (!(error instanceof PilotError) || !error.message.startsWith('unknown command'))
      throw requestFailure('dgram', error)
    daemon.sendTo(to, data) // base and v1.9 daemons cannot tell what became of it
    confirmed = false
  }
  cli.result({ target: target.text, port, bytes: data.length, confirmed }, [
    confirmed
      ? `sent ${data.length} bytes to ${target.text} port ${port} (delivery is not confirmed)`
      : `handed ${data.length} bytes to the daemon for ${target.text} port ${port}`,
  ])
}

/** With the admin token the daemon's, where there is one; else as a member. */
async function broadcast(
  cli: Cli,
  typed: string,
  message: string,
  options: { port: string },
): Promise<void> {
  const network = parseNetworkId(typed)
  const port = parsePort(options.port)
  if (message === '') throw usageError('the message is empty')
  const data = new TextEncoder().encode(message)
  const token = adminTokenOf(cli)
  await cli.request('broadcast', async (daemon) => {
    if (token !== '') return daemon.broadcast({ network, port, token, data })
    const { node_id: ownId } = await daemon.info()
    const { nodes } = await daemon.requestJson({ type: 'network-members', network })
    if (!Array.isArray(nodes) || !nodes.some((one) => one?.node_id === ownId))
      throw new CliError(
        'not_found',
        `broadcast: this node is not in network ${network}`,
        `join it first: pilotctl network join ${network}`,
      )
    daemon.sendTo({ address: { network, node: BROADCAST_NODE }, port }, data)
    // Nothing confirms it; daemons of February 2026 and v1.9 send a refusal, in place of this reply.
    await daemon.info()
  })
  cli.result({ network_id: network, message, port, bytes: data.length }, [
    `handed ${data.length} bytes to the daemon for the members of network ${network}`,
  ])
}
