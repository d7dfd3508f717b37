/** What help tells about each command beside its arguments and flags: one line for the list, and examples. */

export interface HelpText {
  /** For the list of all commands: at most 50 characters. */
  readonly summary: string
  /** What the flags do not say. */
  readonly notes?: string
  /** Complete command lines, with what each does. */
  readonly examples: readonly string[]
}

const TARGET = 'A target is an address (0:0000.0000.002A), a node id (42) or a hostname.'
const ASKS_FIRST = 'The node must trust this one, or be public.'

const V19_ONLY = 'For daemons of v1.9: ours applies no rules to members, and says so.'
const OTHERS_ONLY = 'For registries of v1.9: ours keeps no external identities, and says so.'
const BY_ADMIN =
  "Needs the registry's admin token: PILOT_ADMIN_TOKEN, or admin_token in the\nconfiguration."

/** By command path. */
export const HELP_TEXTS: Readonly<Record<string, HelpText>> = {
  init: {
    summary: 'Write the configuration file',
    notes:
      'Registry, beacon and socket are always written; other members of the file stay.\nThe daemon reads them at its next start.',
    examples: ['pilotctl init --registry rendezvous.example:9000 --hostname agent-a'],
  },
  config: {
    summary: 'Show the configuration, or change one key',
    notes:
      'Keys in use: registry, beacon, socket, hostname, owner, public. The file is\n~/.pilot/config.json; one that is not JSON is refused and left alone.',
    examples: ['pilotctl config', 'pilotctl config --set registry=rendezvous.example:9000'],
  },
  version: { summary: 'Version of pilotctl', examples: ['pilotctl version'] },
  'daemon start': {
    summary: 'Start the daemon and wait until it is registered',
    notes:
      'Settings come from flags, then ~/.pilot/config.json, then the environment\n(PILOT_REGISTRY, PILOT_BEACON; PILOT_SOCKET before the file), then defaults.\nWhere another home has a daemon on the default socket, this one gets\n~/.pilot/pilot.sock. The log is ~/.pilot/pilot.log.',
    examples: [
      'pilotctl daemon start --hostname agent-a',
      'pilotctl daemon start --registry rendezvous.example:9000 --public',
      'pilotctl daemon start --foreground --log-level debug',
    ],
  },
  'daemon stop': {
    summary: 'Stop the daemon',
    notes:
      'Streams are finished and the registry is told, in 2 s at most; a daemon that\nhas not ended after 10 s is killed.',
    examples: ['pilotctl daemon stop'],
  },
  'daemon status': {
    summary: 'Whether the daemon runs and answers',
    notes: 'Exit 0 both ways; with --check 0 only if it answers.',
    examples: ['pilotctl daemon status', 'pilotctl daemon status --check && echo running'],
  },
  info: {
    summary: 'This node: address, registry, traffic, streams',
    notes: 'With --json also every peer, and every reason for which datagrams were dropped.',
    examples: ['pilotctl info', 'pilotctl info --json'],
  },
  health: { summary: 'Short health report of the daemon', examples: ['pilotctl health'] },
  peers: {
    summary: 'Nodes this one has a tunnel to',
    notes: 'PATH is direct, relay (through the beacon) or none.',
    examples: ['pilotctl peers', 'pilotctl peers --search 42'],
  },
  connections: { summary: 'Open streams of this node', examples: ['pilotctl connections'] },
  disconnect: {
    summary: 'Close a stream of this node',
    examples: ['pilotctl connections', 'pilotctl disconnect 17'],
  },
  'set-hostname': {
    summary: 'Give this node a name',
    notes:
      'Lower-case letters, digits and hyphens; unique at the registry. Kept in the\nconfiguration.',
    examples: ['pilotctl set-hostname agent-a'],
  },
  'clear-hostname': { summary: 'Take the name away', examples: ['pilotctl clear-hostname'] },
  'set-public': {
    summary: 'Let every node reach this one, without trust',
    examples: ['pilotctl set-public'],
  },
  'set-private': {
    summary: 'Let only trusted nodes reach this one',
    examples: ['pilotctl set-private'],
  },
  'set-tags': {
    summary: 'Describe this node with up to three tags',
    notes: 'Quote a leading #: the shell takes it for a comment.',
    examples: ['pilotctl set-tags translator french'],
  },
  'clear-tags': { summary: 'Remove all tags', examples: ['pilotctl clear-tags'] },
  deregister: {
    summary: 'Leave the registry until the next daemon start',
    examples: ['pilotctl deregister'],
  },
  find: { summary: 'Node id and address of a hostname', examples: ['pilotctl find agent-b'] },
  lookup: {
    summary: 'What the registry tells about a node',
    notes: 'Asks the registry itself; by id it needs no daemon.',
    examples: ['pilotctl lookup 42', 'pilotctl lookup agent-b'],
  },
  register: {
    summary: 'Register the stored key without a daemon',
    examples: ['pilotctl register', 'pilotctl register 203.0.113.7:4000'],
  },
  'rotate-key': {
    summary: 'Give this node another key',
    notes:
      'The registry learns it, signed with the former one; address and name stay, and\nthe daemon starts again. Trusted nodes of ours follow; Go daemons that\ntrusted the former key must be asked anew.',
    examples: ['pilotctl rotate-key'],
  },
  'identity show': {
    summary: 'Public key of this node',
    examples: ['pilotctl identity show'],
  },
  handshake: {
    summary: 'Ask a node for mutual trust',
    notes:
      'The request goes to the node itself, or waits for it at the registry, where\ndaemons look every few seconds. Trust holds as soon as the other side approves,\nor asks back.',
    examples: [
      'pilotctl handshake agent-b "we work on the same report"',
      'pilotctl handshake 42 --wait 60s',
    ],
  },
  approve: {
    summary: 'Accept a request for trust',
    examples: ['pilotctl pending', 'pilotctl approve agent-b'],
  },
  reject: {
    summary: 'Refuse a request for trust',
    examples: ['pilotctl reject 42 "not today"'],
  },
  untrust: {
    summary: 'End the trust in a node',
    notes: 'Both sides lose it; the other one is told.',
    examples: ['pilotctl untrust agent-b'],
  },
  pending: {
    summary: 'Requests that wait for your decision',
    examples: ['pilotctl pending', 'pilotctl approve 42'],
  },
  trust: {
    summary: 'Nodes trusted, and since when',
    notes: 'Trust goes both ways, whoever asked for it.',
    examples: ['pilotctl trust'],
  },
  connect: {
    summary: 'Send one message and print the answer',
    notes: `${TARGET}\nPort 1000 is the daemon's own, unless a program listens there: it stores the\nmessage in the inbox and answers "ACK TEXT <n> bytes".\n${ASKS_FIRST}`,
    examples: [
      'pilotctl connect agent-b --message "hello, peer"',
      'pilotctl connect agent-b 5000 --message "to my own program"',
    ],
  },
  send: {
    summary: 'Send data to a port and print the answer',
    notes: TARGET,
    examples: ['pilotctl send agent-b 5000 --data "raw bytes"'],
  },
  recv: {
    summary: 'Wait for a connection, print what it sends',
    examples: ['pilotctl recv 5000', 'pilotctl recv 5000 --count 10 --timeout 0'],
  },
  'send-message': {
    summary: "Put a message into a node's inbox",
    notes: 'Done when the other daemon has stored it.',
    examples: [
      'pilotctl send-message agent-b --data "lunch?"',
      `pilotctl send-message agent-b --type json --data '{"task":1}' --wait 30s`,
    ],
  },
  'send-file': {
    summary: 'Send a file; goes on where an attempt stopped',
    notes:
      'It arrives in ~/.pilot/received. Done when the other daemon has compared the\nSHA-256 of its copy.',
    examples: ['pilotctl send-file agent-b report.pdf'],
  },
  inbox: {
    summary: 'Messages that arrived, oldest first',
    examples: [
      'pilotctl inbox --since 1h',
      'pilotctl inbox --from 42 --latest --full',
      'pilotctl inbox read TEXT-20261231-235959.000',
    ],
  },
  received: {
    summary: 'Files that arrived',
    examples: ['pilotctl received', 'pilotctl received --since 24h'],
  },
  subscribe: {
    summary: "Print the events of a node's broker",
    notes: 'Nothing confirms a subscription; only events published afterwards come.',
    examples: ['pilotctl subscribe agent-b weather', 'pilotctl subscribe agent-b "*" --count 5'],
  },
  publish: {
    summary: "Publish an event at a node's broker",
    examples: ['pilotctl publish agent-b weather --data sunny'],
  },
  listen: {
    summary: 'Print the datagrams that arrive for a port',
    examples: ['pilotctl listen 6000', 'pilotctl listen 6000 --count 1 --timeout 30s'],
  },
  dgram: {
    summary: 'Send one datagram; it may be lost',
    examples: ['pilotctl dgram agent-b 6000 --data "tick"'],
  },
  'task submit': {
    summary: 'Offer a task to a node',
    notes: `${TARGET}\nIt is refused where the polo score of that node is above the one of this node.`,
    examples: ['pilotctl task submit agent-b --task "translate the report"'],
  },
  'task accept': {
    summary: 'Take a task, within a minute after it came',
    examples: ['pilotctl task list --type received', 'pilotctl task accept --id <task_id>'],
  },
  'task decline': {
    summary: 'Refuse a task',
    examples: ['pilotctl task decline --id <task_id> --justification "too large"'],
  },
  'task execute': {
    summary: 'Start the task that was accepted first',
    examples: ['pilotctl task queue', 'pilotctl task execute'],
  },
  'task send-results': {
    summary: 'Send what came of a task to its submitter',
    notes:
      'The file kinds of the reference: documents, tables, pictures, models. It arrives\nin ~/.pilot/tasks/results over there.',
    examples: [
      'pilotctl task send-results --id <task_id> --results "done"',
      'pilotctl task send-results --id <task_id> --file report.pdf',
    ],
  },
  'task list': {
    summary: 'Tasks that came, and tasks submitted',
    examples: ['pilotctl task list', 'pilotctl task list --type submitted'],
  },
  'task queue': {
    summary: 'Accepted tasks, in the order of execute',
    examples: ['pilotctl task queue'],
  },
  'gateway start': {
    summary: 'Run a gateway: local IPs that stand for nodes',
    notes:
      'TCP to a local address goes to the same port of its node. It runs until SIGINT\nor SIGTERM and then takes its addresses away; what one that was killed left goes\nat the next start. Addresses of 127.0.0.0/8 need no root, nor do ports above\n1023.',
    examples: [
      'pilotctl gateway start agent-b',
      'pilotctl gateway start --subnet 127.4.0.0/16 --ports 8080 agent-b',
    ],
  },
  'gateway stop': { summary: 'Stop the gateway', examples: ['pilotctl gateway stop'] },
  'gateway map': {
    summary: 'Give a node a local address',
    examples: ['pilotctl gateway map agent-b', 'pilotctl gateway map agent-b 10.4.0.9'],
  },
  'gateway unmap': {
    summary: 'Take a local address away',
    examples: ['pilotctl gateway unmap 10.4.0.9'],
  },
  'gateway list': {
    summary: 'Local addresses and their nodes',
    examples: ['pilotctl gateway list'],
  },
  'enable-tasks': {
    summary: 'Tell the registry that this node takes tasks',
    examples: ['pilotctl enable-tasks'],
  },
  'disable-tasks': {
    summary: 'Tell the registry that it takes none',
    examples: ['pilotctl disable-tasks'],
  },
  'network list': {
    summary: 'All networks of the registry',
    examples: ['pilotctl network list'],
  },
  'network join': {
    summary: 'Join a network',
    examples: ['pilotctl network join 3', 'pilotctl network join 3 --token secret'],
  },
  'network leave': {
    summary: 'Leave a network',
    examples: ['pilotctl network leave 3'],
  },
  'network members': {
    summary: 'Members of a network',
    examples: ['pilotctl network members 3'],
  },
  'network invite': {
    summary: 'Invite a node',
    notes: 'For networks that are joined by invite; owners and admins may.',
    examples: ['pilotctl network invite 3 agent-b'],
  },
  'network invites': {
    summary: 'Invites that wait for this node',
    examples: ['pilotctl network invites'],
  },
  'network accept': {
    summary: 'Take an invite, and join',
    examples: ['pilotctl network accept 3'],
  },
  'network reject': {
    summary: 'Refuse an invite',
    examples: ['pilotctl network reject 3'],
  },
  'network create': {
    summary: 'Make a network, which this node owns',
    notes: BY_ADMIN,
    examples: [
      'pilotctl network create --name team',
      'pilotctl network create --name lab --join-rule token --token secret',
    ],
  },
  'network delete': {
    summary: 'Delete a network, as its owner',
    examples: ['pilotctl network delete 3'],
  },
  'network rename': {
    summary: 'Give a network another name',
    examples: ['pilotctl network rename 3 crew'],
  },
  'network promote': {
    summary: 'Make a member an admin',
    examples: ['pilotctl network promote 3 agent-b'],
  },
  'network demote': {
    summary: 'Make an admin a plain member',
    examples: ['pilotctl network demote 3 agent-b'],
  },
  'network kick': {
    summary: 'Remove a member',
    examples: ['pilotctl network kick 3 agent-b'],
  },
  'network role': {
    summary: 'Role of a member',
    examples: ['pilotctl network role 3 agent-b'],
  },
  'network policy': {
    summary: 'Limits of a network, shown or changed',
    examples: ['pilotctl network policy 3', 'pilotctl network policy 3 --set max_members=20'],
  },
  'member-tags get': {
    summary: 'Tags of one member, or of all',
    examples: [
      'pilotctl member-tags get --net 3',
      'pilotctl member-tags get --net 3 --node agent-b',
    ],
  },
  'member-tags set': {
    summary: 'Replace the tags of a member',
    examples: ['pilotctl member-tags set --net 3 --node agent-b --tags ops,night'],
  },
  'managed score': {
    summary: 'Raise or lower the score of a member',
    notes: V19_ONLY,
    examples: ['pilotctl managed score agent-b --net 3 --delta 2 --topic speed'],
  },
  'managed status': {
    summary: 'How the rules of a network stand',
    notes: V19_ONLY,
    examples: ['pilotctl managed status --net 3'],
  },
  'managed rankings': {
    summary: 'Members by score',
    notes: V19_ONLY,
    examples: ['pilotctl managed rankings --net 3'],
  },
  'managed cycle': {
    summary: 'Apply the rules of a network now',
    notes: V19_ONLY,
    examples: ['pilotctl managed cycle --force --net 3'],
  },
  'policy get': {
    summary: 'The policy that the daemon applies',
    notes: V19_ONLY,
    examples: ['pilotctl policy get --net 3'],
  },
  'policy set': {
    summary: 'Give the daemon another policy',
    notes: V19_ONLY,
    examples: ['pilotctl policy set --net 3 --file policy.json'],
  },
  'policy validate': {
    summary: 'Look whether a document is a policy',
    notes: 'Everything but the match expressions.',
    examples: ['pilotctl policy validate --file policy.json'],
  },
  'policy test': {
    summary: 'Apply a policy to an event (v1.9 only)',
    notes: 'This program has no engine for match expressions, and says so.',
    examples: [`pilotctl policy test --file policy.json --event '{"type":"dial"}'`],
  },
  audit: {
    summary: 'Who did what at the registry, newest first',
    notes: BY_ADMIN,
    examples: ['pilotctl audit --limit 20', 'pilotctl audit --network 3'],
  },
  provision: {
    summary: 'Make a network as a document says',
    notes: `One that is there is brought up to date.\n${BY_ADMIN}`,
    examples: ['pilotctl provision team.json'],
  },
  deprovision: {
    summary: 'Delete a network by its name',
    notes: BY_ADMIN,
    examples: ['pilotctl deprovision team'],
  },
  'provision-status': {
    summary: 'Networks of the registry, with their members',
    notes: BY_ADMIN,
    examples: ['pilotctl provision-status'],
  },
  'audit-export get': {
    summary: 'Where the registry sends its audit log',
    notes: BY_ADMIN,
    examples: ['pilotctl audit-export get'],
  },
  'audit-export set': {
    summary: 'Send the audit log to a URL besides',
    notes: BY_ADMIN,
    examples: ['pilotctl audit-export set --format json --endpoint https://log.example/in'],
  },
  'audit-export disable': {
    summary: 'Send the audit log nowhere',
    notes: BY_ADMIN,
    examples: ['pilotctl audit-export disable'],
  },
  'idp get': {
    summary: 'Identity provider of the registry',
    notes: `${OTHERS_ONLY}\n${BY_ADMIN}`,
    examples: ['pilotctl idp get'],
  },
  'idp set': {
    summary: 'Name the identity provider',
    notes: `${OTHERS_ONLY}\n${BY_ADMIN}`,
    examples: ['pilotctl idp set --type oidc --url https://id.example/keys'],
  },
  'directory-sync': {
    summary: 'Bring members in line with a directory',
    notes: `${OTHERS_ONLY}\n${BY_ADMIN}`,
    examples: ['pilotctl directory-sync directory.json --network 3'],
  },
  'directory-status': {
    summary: 'How far members are in line with it',
    notes: `${OTHERS_ONLY}\n${BY_ADMIN}`,
    examples: ['pilotctl directory-status 3'],
  },
  'set-webhook': {
    summary: 'Post what happens at this node to a URL',
    notes:
      'One JSON object for each event, tried three times; what could not be delivered\nis kept in ~/.pilot. Link-local addresses and metadata services are refused.',
    examples: ['pilotctl set-webhook https://example.org/pilot'],
  },
  'clear-webhook': { summary: 'Post nothing any more', examples: ['pilotctl clear-webhook'] },
  broadcast: {
    summary: 'Send a datagram to all members of a network',
    notes: 'Members may; with an admin token those who are none, and to network 0.',
    examples: ['pilotctl broadcast 3 "lunch?"', 'pilotctl broadcast 3 "tick" --port 6000'],
  },
  ping: {
    summary: "Time round trips to a node's echo port",
    notes: `${TARGET}\n${ASKS_FIRST} The time includes opening a stream.`,
    examples: ['pilotctl ping agent-b', 'pilotctl ping 42 --count 1 --timeout 5s'],
  },
  traceroute: {
    summary: 'Time a stream and its round trips; which path',
    examples: ['pilotctl traceroute agent-b'],
  },
  bench: {
    summary: 'Throughput and latency to the echo port and back',
    notes: `Every byte that comes back is compared. With --duration or --svg: 20 new
connections; round trips of 1 KB, 10 KB, 100 KB and 1 MB, after a warm-up, each
for a tenth of the duration, 5s at most; then bytes for all of the duration,
second by second.
CPU and memory are those of the daemons, the peer's where it runs on this
machine, else unknown. Ctrl-C ends it with what was measured so far, and exit
code 130.`,
    examples: [
      'pilotctl bench agent-b 16',
      'pilotctl bench agent-b --duration 60s',
      'pilotctl bench agent-b --duration 60s --svg bench.svg --json',
    ],
  },
  context: {
    summary: 'All commands, flags and results as JSON',
    notes: 'For programs that drive pilotctl.',
    examples: ['pilotctl context --json', 'pilotctl context send-file'],
  },
}

export const ABOUT = `Command line of Pilot Protocol: permanent addresses, mutual trust and encrypted
tunnels between agents.`

export const AFTER = `
First steps:
  pilotctl daemon start --hostname agent-a     both sides, each with its name
  pilotctl handshake agent-b "why"             the other side: pilotctl approve
  pilotctl connect agent-b --message "hello"

Targets:      an address (0:0000.0000.002A), a node id (42) or a hostname
Durations:    500ms, 30s, 1m30s, or a number of seconds
Everywhere:   --json prints one JSON object; failures go to standard error
              --help explains a command
Exit codes:   0 done, 1 failed, 2 unknown command
Environment:  PILOT_SOCKET (default /tmp/pilot.sock)
              PILOT_REGISTRY (default 127.0.0.1:9000), PILOT_BEACON
              PILOT_ADMIN_TOKEN (of the registry, for networks)
Files:        ~/.pilot/config.json, identity.json, trust.json, pilot.log

Not in the reference (v1.9): identity show, dgram, inbox read; a gateway that
map, unmap and list reach; rotate-key and broadcast that work; hostnames and
addresses wherever a node is meant; and the flags
  --strict     exit 1 when nothing came or was taken, with --json too
  --wait       handshake, send-message: until the other side has answered
  --timeout    publish, send-file, send-message, task submit
  --duration   bench; --port broadcast; --limit, --since, --before, --from,
  --latest, --full, --all, --search for lists; and most of daemon start`
