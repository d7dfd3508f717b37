/** What is shared by all nodes: scores and beacons (spec/04 §11, §12). */
import type { RegistryMessage } from '../core/wire/registry-message.ts'
import { POLO_DELTA_MAX, POLO_SCORE_MAX } from './limits.ts'
import type { NodeRecord } from './node-table.ts'
import { backboneAddress } from './register-operation.ts'
import { type Operation, refuse } from './registry-desk.ts'
import { nodeIdField, stringField } from './request-fields.ts'

function scoreAnswer(type: string, { id, poloScore }: NodeRecord): RegistryMessage {
  return { type, node_id: id, address: backboneAddress(id), polo_score: poloScore }
}

const getPoloScore: Operation = (desk, { message }) => {
  const nodeId = nodeIdField(message, 'node_id')
  const node = desk.nodes.live(nodeId)
  if (node === undefined) return refuse(`node ${nodeId} not found`)
  return scoreAnswer('get_polo_score_ok', node)
}

/**
 * Deviation (spec/04 §22 W11): only on a connection that proved the key of a live node, within bounds and
 * rates, and without keeping the target alive.
 */
const updatePoloScore: Operation = (desk, { message, connection, now }) => {
  const { delta } = message
  if (typeof delta !== 'number') return refuse('update_polo_score requires delta field')
  const nodeId = nodeIdField(message, 'node_id')
  const node = desk.nodes.live(nodeId)
  if (node === undefined) return refuse(`node ${nodeId} not found`)
  let isProven = false
  for (const id of connection.provenIds) {
    const proven = desk.nodes.live(id)
    if (proven !== undefined && connection.hasProven(proven)) isProven = true
  }
  if (!isProven) return refuse('update_polo_score requires a signed request on this connection')
  const step = Math.trunc(delta)
  if (Math.abs(step) > POLO_DELTA_MAX)
    return refuse(`invalid delta: at most ${POLO_DELTA_MAX} up or down`)
  if (!desk.scoreUpdates.take(connection.rateKey, now.at))
    return refuse(`rate limited: too many score updates from ${connection.source.address}`)
  const poloScore = Math.max(-POLO_SCORE_MAX, Math.min(POLO_SCORE_MAX, node.poloScore + step))
  const changed = poloScore === node.poloScore ? node : desk.nodes.change(node, { poloScore })
  return scoreAnswer('update_polo_score_ok', changed)
}

/** Deviation (spec/04 §22 W11): nobody may set scores; no client of the base profile does. */
const setPoloScore: Operation = () => refuse('set_polo_score is not available on this registry')

const beaconRegister: Operation = (desk, { message, connection, now }) => {
  const id = nodeIdField(message, 'beacon_id')
  const problem = desk.beacons.announce(id, stringField(message, 'addr'), connection.source, now.at)
  if (problem !== undefined) return refuse(problem)
  return { type: 'beacon_register_ok', beacon_id: id }
}

const beaconList: Operation = (desk, { now }) => ({
  type: 'beacon_list_ok',
  beacons: desk.beacons.list(now.at),
})

export const DIRECTORY_OPERATIONS: Readonly<Record<string, Operation>> = {
  get_polo_score: getPoloScore,
  update_polo_score: updatePoloScore,
  set_polo_score: setPoloScore,
  beacon_register: beaconRegister,
  beacon_list: beaconList,
}
