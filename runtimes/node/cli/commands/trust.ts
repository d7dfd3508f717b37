/** Trust between nodes (spec/08 §3.6). */
import type { Command } from 'commander'
import { PilotError } from '../../../../core/errors.ts'
import type { Cli } from '../cli.ts'
import { CliError, requestFailure } from '../failure.ts'
import { formatTable } from '../table.ts'
import { formatUnixTime, isTrue, parseDuration } from '../values.ts'

const POLL_MS = 500

export function addTrustCommands(program: Command, cli: Cli): void {
  program
    .command('handshake')
    .description('Ask a node for mutual trust; it must approve, or ask back')
    .argument('<node>', 'node id, address or hostname')
    .argument('[why...]', 'shown to the other side')
    .option('--wait <duration>', 'wait until trust is mutual, at most so long')
    .action((node: string, words: string[], options: { wait?: string }) =>
      handshake(cli, node, words.join(' '), options.wait),
    )

  program
    .command('approve')
    .description('Accept a pending trust request')
    .argument('<node>', 'node id, address or hostname')
    .action((node: string) => approve(cli, node))

  program
    .command('reject')
    .description('Refuse a pending trust request')
    .argument('<node>', 'node id, address or hostname')
    .argument('[reason...]', 'told to the other side')
    .action(async (node: string, words: string[]) => {
      const nodeId = await cli.targetNode(node)
      if (!(await isPending(cli, nodeId))) throw await notPending(cli, nodeId)
      const reply = await cli.request('reject', (daemon) =>
        daemon.requestJson({ type: 'trust-reject', nodeId, reason: words.join(' ') }),
      )
      cli.result({ status: reply.status, node_id: nodeId }, [
        `handshake from node ${nodeId} rejected`,
      ])
    })

  program
    .command('untrust')
    .description('End the trust in a node')
    .argument('<node>', 'node id, address or hostname')
    .action(async (node: string) => {
      const nodeId = await cli.targetNode(node)
      if (!(await isTrusted(cli, nodeId)))
        throw new CliError('not_found', `node ${nodeId} is not trusted`, 'see: pilotctl trust')
      await cli.request('untrust', (daemon) => daemon.requestJson({ type: 'trust-revoke', nodeId }))
      cli.result({ node_id: nodeId }, [
        `node ${nodeId} is trusted no more, and has been told`,
        `  to make up again: pilotctl handshake ${node}`,
      ])
    })

  program
    .command('pending')
    .description('Trust requests waiting for a decision')
    .action(async () => {
      const pending = listOf(
        await cli.request('pending', (daemon) => daemon.requestJson({ type: 'trust-pending' })),
        'pending',
      )
      cli.result(
        { pending },
        pending.length === 0
          ? [
              'no pending handshake requests',
              '  requests appear here when another node sends: pilotctl handshake <this node>',
            ]
          : [
              ...formatTable(
                ['NODE ID', 'JUSTIFICATION', 'RECEIVED'],
                pending.map((peer) => [
                  `${peer.node_id}`,
                  `${peer.justification || '-'}`,
                  timeOf(peer.received_at),
                ]),
              ),
              '',
              'decide with: pilotctl approve <node id>   or   pilotctl reject <node id>',
            ],
      )
    })

  program
    .command('trust')
    .description('Nodes this one trusts')
    .option('--limit <n>', 'show at most so many')
    .option('--search <text>', 'only node ids containing the text')
    .action(async (options: { limit?: string; search?: string }) => {
      const all = listOf(
        await cli.request('trust', (daemon) => daemon.requestJson({ type: 'trust-list' })),
        'trusted',
      )
      const found = all.filter((peer) => `${peer.node_id}`.includes(options.search ?? ''))
      const trusted =
        options.limit === undefined ? found : found.slice(0, Number(options.limit) || 0)
      cli.result(
        { trusted },
        trusted.length === 0
          ? [
              'no trusted peers',
              '  establish trust: pilotctl handshake <node_id|hostname> "reason"',
            ]
          : formatTable(
              ['NODE ID', 'TRUST', 'NETWORK', 'SINCE'],
              trusted.map((peer) => [
                `${peer.node_id}`,
                // The file's "mutual" tells who asked, not whether trust goes both ways: it always does.
                isTrue(peer.mutual) ? 'we asked, it agreed' : 'it asked, we agreed',
                peer.network ? `${peer.network}` : '-',
                timeOf(peer.approved_at),
              ]),
            ),
      )
    })
}

async function handshake(
  cli: Cli,
  node: string,
  justification: string,
  wait: string | undefined,
): Promise<void> {
  const waitMs = wait === undefined ? undefined : parseDuration(wait, 'wait')
  const target = await cli.target(node)
  const { ownId } = await cli.facts(target)
  const nodeId = target.address.node
  const reply = await cli.request('handshake', (daemon) =>
    daemon.requestJson({ type: 'trust-request', nodeId, justification }),
  )
  const isTrusted =
    reply.status === 'already_trusted' ||
    (waitMs !== undefined && (await waitForTrust(cli, nodeId, waitMs)))
  const data = {
    status: reply.status,
    node_id: nodeId,
    ...(waitMs !== undefined && { trusted: isTrusted }),
  }
  if (isTrusted) {
    cli.result(data, [
      reply.status === 'already_trusted'
        ? `node ${nodeId} is trusted already`
        : `trust established with node ${nodeId}`,
      `  try: pilotctl ping ${node}`,
    ])
    return
  }
  if (waitMs !== undefined) cli.failSoftly(false)
  cli.result(data, [
    reply.relayed === true
      ? `handshake request for node ${nodeId} left at the registry: its daemon looks there every few seconds`
      : `handshake request sent to node ${nodeId}`,
    `  over there: pilotctl approve ${ownId ?? '<this node>'}     (or a handshake back)`,
    `  to wait for it here: pilotctl handshake ${node} --wait 60s`,
  ])
}

/** In steps of at most 30 s, the most a daemon waits in one request; base daemons are asked again and again. */
async function waitForTrust(cli: Cli, nodeId: number, waitMs: number): Promise<boolean> {
  const daemon = await cli.daemon()
  const until = performance.now() + waitMs
  let canWait = true
  for (let left = waitMs; left > 0 && !cli.io.signal.aborted; left = until - performance.now()) {
    if (!canWait) {
      if (await isTrusted(cli, nodeId)) return true
      await new Promise((resolve) => setTimeout(resolve, Math.min(left, POLL_MS)))
      continue
    }
    const timeoutMs = Math.ceil(Math.min(left, 30_000))
    try {
      const { trusted } = await daemon.requestJson({ type: 'trust-wait', nodeId, timeoutMs })
      if (trusted === true) return true
    } catch (error) {
      if (!(error instanceof PilotError) || !error.message.includes('unknown sub-command'))
        throw requestFailure('handshake wait', error)
      canWait = false
    }
  }
  return false
}

async function approve(cli: Cli, node: string): Promise<void> {
  const nodeId = await cli.targetNode(node)
  if (!(await isPending(cli, nodeId)) && !(await isTrusted(cli, nodeId)))
    throw await notPending(cli, nodeId)
  const reply = await cli.request('approve', (daemon) =>
    daemon.requestJson({ type: 'trust-approve', nodeId }),
  )
  cli.result({ status: reply.status, node_id: nodeId }, [
    `trust established with node ${nodeId}`,
    `  try: pilotctl ping ${node}`,
  ])
}

async function isPending(cli: Cli, nodeId: number): Promise<boolean> {
  const reply = await cli.request('pending', (daemon) =>
    daemon.requestJson({ type: 'trust-pending' }),
  )
  return listOf(reply, 'pending').some((peer) => peer.node_id === nodeId)
}

async function isTrusted(cli: Cli, nodeId: number): Promise<boolean> {
  const reply = await cli.request('trust', (daemon) => daemon.requestJson({ type: 'trust-list' }))
  return listOf(reply, 'trusted').some((peer) => peer.node_id === nodeId)
}

async function notPending(cli: Cli, nodeId: number): Promise<CliError> {
  const info = await cli.request('pending', (daemon) => daemon.info())
  const isAsked = listOf(info, 'handshake_outgoing').some((peer) => peer.node_id === nodeId)
  if (isAsked)
    return new CliError(
      'not_found',
      `node ${nodeId} has not asked: this node asked it`,
      `it decides over there: pilotctl approve ${info.node_id}`,
    )
  return new CliError(
    'not_found',
    `node ${nodeId} has no pending trust request`,
    'those that wait are listed by: pilotctl pending',
  )
}

function listOf(reply: Record<string, unknown>, key: string): Record<string, unknown>[] {
  const value = reply[key]
  return Array.isArray(value) ? value : []
}

function timeOf(seconds: unknown): string {
  return typeof seconds === 'number' && Number.isFinite(seconds) ? formatUnixTime(seconds) : '-'
}
