/** Every cap and rate of the rendezvous server, with the section that asks for it; ours where none is named. */

/** Rates and caps an operator or a test may change; `DEFAULT_REGISTRY_LIMITS` holds the defaults. */
export interface RegistryLimits {
  /** Registrations per source IP and minute, also the burst (spec/04 §13). */
  readonly registrationsPerMinute: number
  /** Requests per source IP: burst and refill per second (spec/04 §22 W17). */
  readonly requestBurst: number
  readonly requestsPerSecond: number
  /** Authenticated requests per node: burst and refill per second (spec/04 §22 W17). */
  readonly nodeRequestBurst: number
  readonly nodeRequestsPerSecond: number
  /** Score updates per source IP: burst and refill per second (spec/04 §22 W11). */
  readonly poloBurst: number
  readonly poloPerSecond: number
  /** Identities, live or not: an id is never given away, so this bounds memory and the store. */
  readonly nodesMax: number
}

export const DEFAULT_REGISTRY_LIMITS: RegistryLimits = {
  registrationsPerMinute: 10,
  requestBurst: 2000,
  requestsPerSecond: 200,
  nodeRequestBurst: 300,
  nodeRequestsPerSecond: 20,
  poloBurst: 60,
  poloPerSecond: 1,
  nodesMax: 1_000_000,
}

/** A request with a wrong signature costs its source this many requests. */
export const BAD_SIGNATURE_COST = 10
/** Deregistrations per node: burst and refill per second (spec/04 §22 W5). */
export const DEREGISTER_BURST = 5
export const DEREGISTER_PER_SECOND = 0.1

/** A node not seen for this long is removed (spec/04 §14). */
export const STALE_AFTER_MS = 180_000
/** How often stale nodes, beacons and old inbox entries are looked for (spec/04 §14). */
export const SWEEP_INTERVAL_MS = 60_000

/** Bytes of an owner text; longer ones are cut. */
export const OWNER_BYTES_MAX = 320
/** Bytes of a justification; longer ones are cut (spec/04 §22 W15). */
export const JUSTIFICATION_BYTES_MAX = 1024
/** Requests, and responses, waiting per node (spec/04 §9.2, §22 W15). */
export const INBOX_MAX = 100
/** How long inbox entries and the memory of relayed requests live, in seconds (spec/04 §22 W8, W10). */
export const HANDSHAKE_LIFETIME_SECONDS: number = 7 * 24 * 3600
/** Remembered relayed requests per target; the oldest is forgotten. */
export const RELAYED_MAX = 1000
/** Bytes of the entries in one poll answer, at most (spec/04 §22 W15); the rest comes with the next poll. */
export const POLL_BYTES_MAX: number = 192 * 1024

/** Nodes that one node may have given consent to by asking, accepting or reporting trust. */
export const CONSENTS_MAX = 4096
/** Nodes that one node may have given consent to by resolving them; the oldest is forgotten. */
export const RESOLVE_CONSENTS_MAX = 1024
/** How long who ended trust may still resolve the peer, to tell it; above the cap the oldest may not. */
export const FAREWELL_MS = 10_000
export const FAREWELLS_MAX = 4096

/** Custom networks, so that one answer lists them all. */
export const NETWORKS_MAX = 1024
/** Networks one node may be in. */
export const NETWORKS_PER_NODE_MAX = 256
/** Members without a limit of the network's own, and the highest such limit (spec/05 §14). */
export const MEMBERS_MAX = 100_000
export const MEMBERS_LIMIT_MAX = 10_000
/** Members in one answer, also the most that a request may ask for (spec/05 §24 L25). */
export const LISTED_MEMBERS_MAX = 1000
/** Bytes of a join or network admin token. */
export const TOKEN_BYTES_MAX = 256
/** Invites waiting for one node, and how long they live (spec/05 §13). */
export const INVITES_MAX = 100
export const INVITE_LIFETIME_SECONDS: number = 30 * 24 * 3600
/** How long the memberships of a node that deregistered wait for it (spec/05 §25.9). */
export const DEPARTED_SECONDS: number = 7 * 24 * 3600
/** Bytes of a policy document, its rules, and ports of a network policy (spec/05 §14). */
export const POLICY_BYTES_MAX: number = 64 * 1024
export const POLICY_RULES_MAX = 256
export const POLICY_PORTS_MAX = 100
export const DESCRIPTION_BYTES_MAX = 256
/** Audit entries kept of each kind, and in one answer (spec/05 §17). */
export const AUDIT_MAX = 1000
export const AUDIT_DEFAULT = 100
/** How far ahead a key may expire, and from when before that a heartbeat warns (spec/05 §6). */
export const KEY_EXPIRY_MAX_SECONDS: number = 10 * 366 * 24 * 3600
export const KEY_WARNING_SECONDS: number = 24 * 3600
/** What a registration may say besides (spec/05 §5.1); the rest is left out. */
export const LAN_ADDRS_MAX = 16
export const EXTRA_ENDPOINTS_MAX = 8
export const EXTRA_ENDPOINT_BYTES_MAX = 256
export const VERSION_BYTES_MAX = 64

/** Standbys of one registry, and how often each is sent the state or a heartbeat (spec/04 §16). */
export const STANDBYS_MAX = 8
export const REPLICATION_INTERVAL_MS = 1000
export const REPLICATION_HEARTBEAT_MS = 15_000
/** A standby for which bytes wait so long is let go. */
export const REPLICATION_STALL_MS = 10_000
/** UTF-16 units of a snapshot in one frame: at most three bytes each, twice that where JSON escapes them. */
export const REPLICATION_PART_CHARS = 150_000
/** A standby's patience while connecting and with a silent primary, and what it does about it (spec/04 §16). */
export const STANDBY_CONNECT_MS = 10_000
export const STANDBY_SILENCE_MS = 45_000
export const STANDBY_RETRY_MS = 3000
export const STANDBY_HEARTBEAT_MS = 20_000
/** Longest state file or replicated state. */
export const SNAPSHOT_BYTES_MAX: number = 512 * 1024 * 1024

/** A beacon is listed for this long after it registered (spec/04 §11). */
export const BEACON_LIFETIME_MS = 60_000
export const BEACONS_MAX = 256

/** Scores stay within plus and minus this, one update within plus and minus the other (spec/04 §22 W11). */
export const POLO_SCORE_MAX = 1_000_000
export const POLO_DELTA_MAX = 100

/** Registrations waiting for proof, and nodes proven, per connection. */
export const PENDING_REGISTRATIONS_MAX = 16
export const PROVEN_MAX = 1024

/** Nodes and edges in `/api/stats`. */
export const STATS_NODES_MAX = 10_000
export const STATS_EDGES_MAX = 20_000

export interface BeaconLimits {
  /** Nodes in the table (spec/02 §3); beyond it new ones are answered but not entered. */
  readonly nodesMax: number
  /** Nodes per source IP address. */
  readonly nodesPerSourceMax: number
  /** Discover messages per source IP: burst and refill per second. */
  readonly discoverBurst: number
  readonly discoversPerSecond: number
  /** Punch requests per source IP: burst and refill per second. */
  readonly punchBurst: number
  readonly punchesPerSecond: number
  /** Frames relayed per node: refill per second, also the burst (spec/02 §3). */
  readonly relaysPerSecond: number
}

export const DEFAULT_BEACON_LIMITS: BeaconLimits = {
  nodesMax: 100_000,
  nodesPerSourceMax: 4096,
  discoverBurst: 500,
  discoversPerSecond: 100,
  punchBurst: 50,
  punchesPerSecond: 10,
  relaysPerSecond: 20_000,
}

/** Beacon entries live this long after the last discover or punch request (spec/02 §3). */
export const BEACON_ENTRY_LIFETIME_MS = 600_000
/** A node id moves to another endpoint at most this often (spec/02 §3). */
export const ENDPOINT_CHANGE_INTERVAL_MS = 30_000
/** An entry whose IP the registry confirms yields to an unconfirmed one after this much silence. */
export const CONFIRMED_SILENCE_MS = 60_000
export const GOSSIP_INTERVAL_MS = 10_000
/** What a peer beacon announced is believed this long (spec/02 §2.6). */
export const GOSSIP_LIFETIME_MS = 90_000
/** Ids that fit one datagram (spec/02 §2.6). */
export const GOSSIP_IDS_MAX = 16_375
/** Datagrams that wait for the socket; the newest is dropped. */
export const BEACON_QUEUE_MAX = 4096

/** TCP connections of the registry: all, per source IP, and bytes of unfinished frames of all (spec/04 §22 W14). */
export const CONNECTIONS_MAX = 20_000
export const CONNECTIONS_PER_SOURCE_MAX = 1024
export const UNFINISHED_BYTES_MAX: number = 256 * 1024 * 1024
/** Silence after which a connection is closed, and time to finish a frame that began (spec/04 §2, §22 W14). */
export const IDLE_MS = 300_000
export const FRAME_MS = 30_000
/** Unread answers of one connection: above it no more requests are read. */
export const UNSENT_BYTES_MAX: number = 1024 * 1024

export interface CompatLimits {
  /** WebSockets in all (spec/09) and per source IP; beyond it 503 at the upgrade. */
  readonly connectionsMax: number
  readonly connectionsPerSourceMax: number
  /** Upgrades per source IP: burst and refill per second (spec/09). */
  readonly upgradeBurst: number
  readonly upgradesPerSecond: number
  /** Frames and bytes taken from one node: refill per second, also the burst. */
  readonly framesPerSecond: number
  readonly bytesPerSecond: number
  /** Bytes that wait for one WebSocket, and for all of them; the newest datagram is dropped. */
  readonly queueBytesMax: number
  readonly queueBytesSumMax: number
}

export const DEFAULT_COMPAT_LIMITS: CompatLimits = {
  connectionsMax: 50_000,
  connectionsPerSourceMax: 1024,
  upgradeBurst: 100,
  upgradesPerSecond: 10,
  framesPerSecond: 20_000,
  bytesPerSecond: 64 * 1024 * 1024,
  queueBytesMax: 4 * 1024 * 1024,
  queueBytesSumMax: 512 * 1024 * 1024,
}

/** From the upgrade to `auth_ok`, and the greatest age of a challenge by the wall clock (spec/09). */
export const COMPAT_AUTH_MS = 10_000
export const COMPAT_CHALLENGE_SECONDS = 30
/** A WebSocket without a frame and without a pong for so long is closed; pings go out so often (spec/09). */
export const COMPAT_IDLE_MS = 90_000
export const COMPAT_PING_MS = 30_000
/** How often the WebSockets are looked through for the times above. */
export const COMPAT_SWEEP_MS = 1000

/** STUN requests per source IP: burst and refill per second. A client asks once, a browser a few times. */
export const STUN_BURST = 20
export const STUN_PER_SECOND = 5
