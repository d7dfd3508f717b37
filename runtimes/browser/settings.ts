/** What a node is run with, as plain data: it goes to a worker, and to the tab that takes the node over. */
import type { NodeMachineOptions } from '../../core/index.ts'
import type { IceServer } from '../shared/rtc/peer-connection.ts'

export type MachineSettings = Pick<
  NodeMachineOptions,
  | 'hostname'
  | 'isPublic'
  | 'owner'
  | 'keepaliveMs'
  | 'synRateLimit'
  | 'maxConnections'
  | 'autoApprove'
  | 'congestion'
>

export interface EngineSettings extends MachineSettings {
  readonly rendezvous: string
  readonly iceServers?: readonly IceServer[]
  readonly directPaths?: boolean
  readonly registrationTimeoutMs?: number
  /** Base64, when the identity is given and not the origin's own. */
  readonly publicKey?: string
}

/** What was made of the node since it began, and a new engine starts with. */
export type Profile = Pick<MachineSettings, 'hostname' | 'isPublic'>

type Name = keyof EngineSettings

const NAMES: readonly Name[] = [
  'rendezvous',
  'hostname',
  'isPublic',
  'owner',
  'keepaliveMs',
  'synRateLimit',
  'maxConnections',
  'autoApprove',
  'congestion',
  'iceServers',
  'directPaths',
  'registrationTimeoutMs',
  'publicKey',
]

/** Those of the settings that are set, as data that can be posted. */
export function plainSettings(settings: EngineSettings): EngineSettings {
  const entries = NAMES.map((name) => [name, settings[name]] as const)
  const set = entries.filter(([, value]) => value !== undefined)
  return structuredClone(Object.fromEntries(set)) as unknown as EngineSettings
}

/** Which of the settings that a tab asks for are not those that the node runs with. */
export function differences(asked: EngineSettings, running: EngineSettings): readonly string[] {
  return NAMES.filter((name) => {
    // How long a tab waits is its own affair; whose node it is must be said by all or by none.
    if (name === 'registrationTimeoutMs') return false
    if (asked[name] === undefined && name !== 'publicKey') return false
    return JSON.stringify(asked[name]) !== JSON.stringify(running[name])
  })
}

/** Without the members that are `undefined`. */
export function defined<T extends object>(
  values: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> }
}
