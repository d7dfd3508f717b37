/** What a user can ask of a node: which arguments are well-formed, what is done, what of the node's state changes. */
import { type Address, UsageError } from '../../../core/index.ts'
import type { DialOptions, PilotConnection, PilotNode } from '../api.ts'
import type { StatePart } from './node-state.ts'
import {
  isBoolean,
  isRecord,
  isSocketAddress,
  isText,
  isWithin,
  type RemoteMethod,
} from './remote-message.ts'

interface Method {
  readonly args: readonly ((value: unknown) => boolean)[]
  // biome-ignore lint/suspicious/noExplicitAny: `args` has checked them
  readonly run: (node: PilotNode, signal: AbortSignal, ...args: any[]) => Promise<unknown>
  /** Goes along with the outcome, so that getters are true after an awaited call. */
  readonly changes: readonly StatePart[]
}

const isNode = (value: unknown): boolean => isWithin(value, 0xffffffff)
const isOptionalText = (value: unknown): boolean => value === undefined || isText(value)
const isTimeout = (value: unknown): boolean =>
  value === undefined || (typeof value === 'number' && value >= 0)
const isOptionalBytes = (value: unknown): boolean =>
  value === undefined || value instanceof Uint8Array
const isTarget = (value: unknown): boolean => isText(value) || isSocketAddress(value)
const isHost = (value: unknown): boolean =>
  isText(value) || isSocketAddress({ address: value, port: 0 })
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText)

const withTimeout = (signal: AbortSignal, timeoutMs: number | undefined): DialOptions =>
  timeoutMs === undefined ? { signal } : { signal, timeoutMs }

/** `close` is the host's own affair. */
export const METHODS: Readonly<Record<Exclude<RemoteMethod, 'close'>, Method>> = {
  dial: {
    args: [isTarget, isTimeout, isOptionalBytes],
    run: (node, signal, target, timeoutMs, data): Promise<PilotConnection> =>
      node.dial(target, { ...withTimeout(signal, timeoutMs), ...(data && { data }) }),
    changes: ['info', 'peers'],
  },
  ping: {
    args: [isHost, isTimeout],
    run: (node, signal, target: string | Address, timeoutMs) =>
      node.ping(target, withTimeout(signal, timeoutMs)),
    changes: ['peers'],
  },
  resolve: {
    args: [isText],
    run: (node, signal, target) => node.resolve(target, { signal }),
    changes: ['registry'],
  },
  setHostname: {
    args: [isText],
    run: (node, _, hostname) => node.setHostname(hostname),
    changes: ['self', 'registry'],
  },
  setVisibility: {
    args: [isBoolean],
    run: (node, _, isPublic) => node.setVisibility(isPublic),
    changes: ['self', 'registry'],
  },
  setTags: {
    args: [isTexts],
    run: (node, _, tags) => node.setTags(tags),
    changes: ['registry'],
  },
  setTaskExec: {
    args: [isBoolean],
    run: (node, _, enabled) => node.setTaskExec(enabled),
    changes: ['registry'],
  },
  deregister: { args: [], run: (node) => node.deregister(), changes: ['self', 'registry'] },
  request: {
    args: [isRecord],
    run: (node, signal, message) => node.registry.request(message, { signal }),
    changes: ['registry'],
  },
  requestSigned: {
    args: [isRecord],
    run: (node, signal, message) => node.registry.requestSigned(message, { signal }),
    changes: ['registry'],
  },
  resolveHostname: {
    args: [isText],
    run: (node, _, hostname) => node.registry.resolveHostname(hostname),
    changes: ['registry'],
  },
  lookup: {
    args: [isNode],
    run: (node, _, nodeId) => node.registry.lookup(nodeId),
    changes: ['registry'],
  },
  requestTrust: {
    args: [isNode, isOptionalText],
    run: (node, _, nodeId, justification) => node.trust.request(nodeId, justification),
    changes: ['trust', 'peers'],
  },
  approveTrust: {
    args: [isNode],
    run: (node, _, nodeId) => node.trust.approve(nodeId),
    changes: ['trust'],
  },
  rejectTrust: {
    args: [isNode, isOptionalText],
    run: (node, _, nodeId, reason) => node.trust.reject(nodeId, reason),
    changes: ['trust'],
  },
  revokeTrust: {
    args: [isNode],
    run: (node, _, nodeId) => node.trust.revoke(nodeId),
    changes: ['trust', 'peers'],
  },
  waitTrust: {
    args: [isNode, (value) => typeof value === 'number'],
    run: (node, _, nodeId, timeoutMs) => node.trust.wait(nodeId, timeoutMs),
    changes: ['trust'],
  },
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` for an unknown method or arguments of a wrong kind. */
export function methodOf(name: string, args: readonly unknown[]): Method {
  const method = Object.hasOwn(METHODS, name) ? METHODS[name as keyof typeof METHODS] : undefined
  if (method === undefined)
    throw new UsageError('ERR_INVALID_ARGUMENT', `there is no method ${JSON.stringify(name)}`)
  if (args.length > method.args.length || method.args.some((check, i) => !check(args[i])))
    throw new UsageError('ERR_INVALID_ARGUMENT', `arguments of a wrong kind for ${name}`)
  return method
}
