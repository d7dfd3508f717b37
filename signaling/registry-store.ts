/**
 * What the registry asks of its storage: read everything once, then record changes and make them durable
 * together. The registry keeps its state in memory; a store never answers questions.
 */

/** One identity: its id and key stay forever, the attributes belong to the present life (spec/04 §7). */
export interface StoredNode {
  readonly id: number // 1..2^32-2
  /** Canonical base64 of the 32-byte Ed25519 key. */
  readonly publicKey: string
  readonly owner: string
  /** `ip:port`. */
  readonly endpoint: string
  readonly isLive: boolean
  readonly isPublic: boolean
  readonly hostname: string
  readonly tags: readonly string[]
  readonly poloScore: number
  readonly taskExec: boolean
  /** A registration of this key was signed once; unsigned ones are refused since (spec/04 §22 W3). */
  readonly signsRegistration: boolean
  /** Reached through a beacon only; `endpoint` is told to nobody (spec/09). */
  readonly relayOnly: boolean
}

/** `asked`: a relayed request, an accepting answer or reported trust. `resolved`: it resolved the receiver. */
export type ConsentKind = 'asked' | 'resolved'

export interface StoredConsent {
  readonly giver: number
  readonly receiver: number
  readonly kind: ConsentKind
}

export interface StoredRequest {
  readonly target: number
  readonly from: number
  readonly justification: string
  readonly unixSeconds: number
}

export interface StoredResponse {
  readonly target: number
  readonly from: number
  readonly accept: boolean
  readonly unixSeconds: number
}

/** That `from` once asked `target` through this registry. */
export interface StoredRelayed {
  readonly target: number
  readonly from: number
  readonly unixSeconds: number
}

export interface StoredState {
  /** The id that the next new identity gets: above every id ever given away. */
  readonly nextNodeId: number
  readonly nodes: Iterable<StoredNode>
  /** Unordered pairs, lower id first. */
  readonly pairs: Iterable<readonly [number, number]>
  readonly consents: Iterable<StoredConsent>
  /** Oldest first, as are the two below. */
  readonly requests: Iterable<StoredRequest>
  readonly responses: Iterable<StoredResponse>
  readonly relayed: Iterable<StoredRelayed>
}

export interface RegistryStore {
  /** What was committed before; called once, before anything else. @throws {StorageError} `ERR_STORE_CORRUPT`, `ERR_STORE_IO`. */
  load(): StoredState

  saveNextNodeId(next: number): void
  saveNode(node: StoredNode): void
  savePair(low: number, high: number): void
  deletePair(low: number, high: number): void
  saveConsent(consent: StoredConsent): void
  deleteConsent(giver: number, receiver: number): void
  saveRequest(request: StoredRequest): void
  deleteRequest(target: number, from: number): void
  saveResponse(response: StoredResponse): void
  deleteResponse(target: number, from: number): void
  saveRelayed(relayed: StoredRelayed): void
  deleteRelayed(target: number, from: number): void

  /** Changes since the last successful `commit`. */
  readonly pendingChanges: number
  /**
   * Makes every change so far durable, all or nothing. After a failure they are still pending.
   *
   * @throws {StorageError} `ERR_STORE_IO`.
   */
  commit(): void
  /** Commits what is pending and releases the file. @throws {StorageError} `ERR_STORE_IO`. */
  close(): void
}

/** Keeps nothing: for tests and registries whose state may go with the process. */
export class MemoryStore implements RegistryStore {
  readonly pendingChanges = 0

  load(): StoredState {
    return {
      nextNodeId: 1,
      nodes: [],
      pairs: [],
      consents: [],
      requests: [],
      responses: [],
      relayed: [],
    }
  }

  saveNextNodeId(): void {}
  saveNode(): void {}
  savePair(): void {}
  deletePair(): void {}
  saveConsent(): void {}
  deleteConsent(): void {}
  saveRequest(): void {}
  deleteRequest(): void {}
  saveResponse(): void {}
  deleteResponse(): void {}
  saveRelayed(): void {}
  deleteRelayed(): void {}
  commit(): void {}
  close(): void {}
}
