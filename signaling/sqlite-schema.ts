/** Tables of the registry's SQLite file, how older files become this version, and the statements that write. */
/** "PLTR" in the file's application id: a SQLite file of another program is not taken for ours. */
export const APPLICATION_ID = 0x504c5452
export const SCHEMA_VERSION = 5
const LATER_TABLES = `
CREATE TABLE networks (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, join_rule TEXT NOT NULL, token TEXT NOT NULL,
  admin_token TEXT NOT NULL, is_enterprise INTEGER NOT NULL, created_at INTEGER NOT NULL,
  max_members INTEGER NOT NULL, allowed_ports TEXT NOT NULL, description TEXT NOT NULL, rules TEXT NOT NULL,
  expr_policy TEXT NOT NULL
) STRICT;
CREATE TABLE members (
  network INTEGER, node INTEGER, role TEXT NOT NULL, tags TEXT NOT NULL, departed_at INTEGER NOT NULL,
  PRIMARY KEY (network, node)
) STRICT;
CREATE TABLE invites (
  network INTEGER, target INTEGER, inviter INTEGER NOT NULL, unix_seconds INTEGER NOT NULL,
  PRIMARY KEY (network, target)
) STRICT;
CREATE TABLE audit (
  sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, unix_seconds INTEGER NOT NULL, action TEXT NOT NULL,
  node INTEGER NOT NULL, network INTEGER NOT NULL, details TEXT NOT NULL
) STRICT;
`
const SETTINGS_TABLE = `
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
`
/** What turns a store of an older version into one of the next, by version from 1. */
export const MIGRATIONS: readonly string[] = [
  'ALTER TABLE nodes ADD COLUMN relay_only INTEGER NOT NULL DEFAULT 0;',
  `${LATER_TABLES}
ALTER TABLE nodes ADD COLUMN key_created INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN key_rotated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN key_expires INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN key_rotations INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN version TEXT NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN lan_addrs TEXT NOT NULL DEFAULT '[]';
ALTER TABLE nodes ADD COLUMN endpoints TEXT NOT NULL DEFAULT '[]';`,
  "ALTER TABLE nodes ADD COLUMN rotations TEXT NOT NULL DEFAULT '[]';",
  SETTINGS_TABLE,
]

export const SCHEMA: string = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE nodes (
  id INTEGER PRIMARY KEY, public_key TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, endpoint TEXT NOT NULL,
  is_live INTEGER NOT NULL, is_public INTEGER NOT NULL, hostname TEXT NOT NULL, tags TEXT NOT NULL,
  polo_score INTEGER NOT NULL, task_exec INTEGER NOT NULL, signs_registration INTEGER NOT NULL,
  relay_only INTEGER NOT NULL, key_created INTEGER NOT NULL, key_rotated INTEGER NOT NULL,
  key_expires INTEGER NOT NULL, key_rotations INTEGER NOT NULL, version TEXT NOT NULL,
  lan_addrs TEXT NOT NULL, endpoints TEXT NOT NULL, rotations TEXT NOT NULL
) STRICT;
CREATE TABLE pairs (low INTEGER, high INTEGER, PRIMARY KEY (low, high)) STRICT, WITHOUT ROWID;
CREATE TABLE consents (
  giver INTEGER, receiver INTEGER, kind TEXT NOT NULL, PRIMARY KEY (giver, receiver)
) STRICT;
CREATE TABLE requests (
  target INTEGER, sender INTEGER, justification TEXT NOT NULL, unix_seconds INTEGER NOT NULL,
  PRIMARY KEY (target, sender)
) STRICT;
CREATE TABLE responses (
  target INTEGER, sender INTEGER, accept INTEGER NOT NULL, unix_seconds INTEGER NOT NULL,
  PRIMARY KEY (target, sender)
) STRICT;
CREATE TABLE relayed (
  target INTEGER, sender INTEGER, unix_seconds INTEGER NOT NULL, PRIMARY KEY (target, sender)
) STRICT;
${LATER_TABLES}${SETTINGS_TABLE}`

export const SQL = {
  nextNodeId: "INSERT OR REPLACE INTO meta VALUES ('next_node_id', ?)",
  // Not OR REPLACE: a key that is another node's must fail, not delete that node.
  node: `INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
    public_key = excluded.public_key, owner = excluded.owner, endpoint = excluded.endpoint,
    is_live = excluded.is_live, is_public = excluded.is_public, hostname = excluded.hostname,
    tags = excluded.tags, polo_score = excluded.polo_score, task_exec = excluded.task_exec,
    signs_registration = excluded.signs_registration, relay_only = excluded.relay_only,
    key_created = excluded.key_created, key_rotated = excluded.key_rotated,
    key_expires = excluded.key_expires, key_rotations = excluded.key_rotations,
    version = excluded.version, lan_addrs = excluded.lan_addrs, endpoints = excluded.endpoints,
    rotations = excluded.rotations`,
  pair: 'INSERT OR REPLACE INTO pairs VALUES (?, ?)',
  noPair: 'DELETE FROM pairs WHERE low = ? AND high = ?',
  consent: 'INSERT OR REPLACE INTO consents VALUES (?, ?, ?)',
  noConsent: 'DELETE FROM consents WHERE giver = ? AND receiver = ?',
  request: 'INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?)',
  noRequest: 'DELETE FROM requests WHERE target = ? AND sender = ?',
  response: 'INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?)',
  noResponse: 'DELETE FROM responses WHERE target = ? AND sender = ?',
  relayed: 'INSERT OR REPLACE INTO relayed VALUES (?, ?, ?)',
  noRelayed: 'DELETE FROM relayed WHERE target = ? AND sender = ?',
  nextNetworkId: "INSERT OR REPLACE INTO meta VALUES ('next_network_id', ?)",
  network: `INSERT INTO networks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, join_rule = excluded.join_rule, token = excluded.token,
    admin_token = excluded.admin_token, is_enterprise = excluded.is_enterprise,
    created_at = excluded.created_at, max_members = excluded.max_members,
    allowed_ports = excluded.allowed_ports, description = excluded.description, rules = excluded.rules,
    expr_policy = excluded.expr_policy`,
  noNetwork: 'DELETE FROM networks WHERE id = ?',
  // Not OR REPLACE: the order of joining stays.
  member: `INSERT INTO members VALUES (?, ?, ?, ?, ?) ON CONFLICT (network, node) DO UPDATE SET
    role = excluded.role, tags = excluded.tags, departed_at = excluded.departed_at`,
  noMember: 'DELETE FROM members WHERE network = ? AND node = ?',
  invite: 'INSERT OR REPLACE INTO invites VALUES (?, ?, ?, ?)',
  noInvite: 'DELETE FROM invites WHERE network = ? AND target = ?',
  setting: 'INSERT OR REPLACE INTO settings VALUES (?, ?)',
  audit: 'INSERT OR REPLACE INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)',
  noAudit: 'DELETE FROM audit WHERE sequence = ?',
  allNodes: 'DELETE FROM nodes',
  allPairs: 'DELETE FROM pairs',
  allConsents: 'DELETE FROM consents',
  allRequests: 'DELETE FROM requests',
  allResponses: 'DELETE FROM responses',
  allRelayed: 'DELETE FROM relayed',
  allNetworks: 'DELETE FROM networks',
  allMembers: 'DELETE FROM members',
  allInvites: 'DELETE FROM invites',
  allAudit: 'DELETE FROM audit',
} as const

/** The statements that leave nothing. */
export const CLEARING: readonly (keyof typeof SQL)[] = [
  'allNodes',
  'allPairs',
  'allConsents',
  'allRequests',
  'allResponses',
  'allRelayed',
  'allNetworks',
  'allMembers',
  'allInvites',
  'allAudit',
]
