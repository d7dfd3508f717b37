/** What is asked for when a network is made or changed (spec/05 §12, §14). */

/** What a network is created with (spec/05 §12). Documents as objects or as JSON texts. */
export interface NewNetwork {
  /** As a hostname is written, unique. */
  readonly name: string
  readonly joinRule?: 'open' | 'token' | 'invite'
  /** What joiners say under rule `token`. */
  readonly token?: string
  readonly isEnterprise?: boolean
  /** Stands for the registry's admin token in what concerns this network. */
  readonly networkAdminToken?: string
  readonly rules?: unknown
  readonly exprPolicy?: unknown
}

/** Members left out keep their value (spec/05 §14). */
export interface NetworkPolicyChange {
  /** 0 (no limit) to 10 000. */
  readonly maxMembers?: number
  readonly allowedPorts?: readonly number[]
  /** At most 256 bytes. */
  readonly description?: string
}
