/**
 * Runs inside a network namespace of its own: a rendezvous, a daemon with a gateway, and a node behind it that serves
 * HTTP on port 80. Prints what it saw as one line of JSON.
 */
import { type ChildProcess, execFileSync } from 'node:child_process'
import { connect } from 'node:net'
import { formatAddress } from '../../core/index.ts'
import { createNode } from '../../runtimes/node/index.ts'
import type { PilotConnection } from '../../runtimes/shared/api.ts'
import { PILOTCTL, Rendezvous, User } from './programs.ts'

const BODY = 'x'.repeat(200_000)

const aliases = (): string[] =>
  [
    ...execFileSync('ip', ['-4', 'addr', 'show', 'lo'])
      .toString()
      .matchAll(/inet (10\.4\.[\d.]+)/g),
  ].map(([, ip]) => ip!)

/** Answers each request with where it came from, and closes when told to. */
function serve(connection: PilotConnection): void {
  let text = ''
  connection.onreadable = () => {
    for (let chunk = connection.read(); chunk !== undefined; chunk = connection.read())
      text += Buffer.from(chunk).toString()
    if (!text.includes('\r\n\r\n')) return
    const [path = ''] = text.split(' ').slice(1)
    text = ''
    const body = path === '/large' ? BODY : `${path} from ${connection.remote.address.node}`
    const bytes = Buffer.from(
      `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    )
    let at = 0
    const write = (): void => {
      at += connection.write(bytes.subarray(at))
      if (at === bytes.length) connection.close()
    }
    connection.onwritable = write
    write()
  }
}

/** A client that ends its side at once, as `nc -N` does. */
function halfClosed(ip: string): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect({ host: ip, port: 80, allowHalfOpen: true })
    socket.end('GET /half HTTP/1.1\r\n\r\n')
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.on('error', (error) => resolve(error.message))
    socket.on('end', () => resolve(text))
  })
}

/** Starts a gateway and waits for its first line. */
async function startGateway(user: User, ...targets: string[]): Promise<ChildProcess> {
  const child = user.spawn(process.execPath, [
    PILOTCTL,
    'gateway',
    'start',
    '--ports',
    '80,81',
    '--json',
    ...targets,
  ])
  await new Promise<void>((resolve, reject) => {
    child.stdout!.once('data', () => resolve())
    child.stderr!.once('data', (chunk) => reject(new Error(`${chunk}`)))
    child.once('exit', () => reject(new Error('the gateway ended')))
  })
  return child
}

const gone = (child: ChildProcess): Promise<unknown> =>
  new Promise((resolve) => child.once('exit', resolve))
const statusOf = (url: string): Promise<string> =>
  fetch(url).then(
    (response) => `${response.status}`,
    () => 'reset',
  )

const seen: Record<string, unknown> = {}
const rendezvous = await Rendezvous.start()
const user = new User(rendezvous)
try {
  const { registry, beacon } = rendezvous
  await using far = await createNode({ registry, beacon, isPublic: true })
  far.listen(80).onconnection = serve
  const started = await user.ctl('daemon', 'start', '--public', '--json')
  const target = formatAddress(far.address)

  const first = await startGateway(user, target)
  seen.aliases = aliases()
  seen.http = await (await fetch('http://10.4.0.1/hello')).text()
  seen.large = (await (await fetch('http://10.4.0.1/large')).text()) === BODY
  seen.half = (await halfClosed('10.4.0.1')).split('\r\n\r\n')[1]
  seen.parallel = (
    await Promise.all(Array.from({ length: 8 }, () => statusOf('http://10.4.0.1/')))
  ).join(' ')
  seen.nobody = await statusOf('http://10.4.0.1:81/')
  seen.again = (await user.ctl('gateway', 'map', target, '--json')).json
  const own = `${started.json.address}`
  seen.second = (await user.ctl('gateway', 'map', own, '10.4.7.7', '--json')).json
  seen.list = (await user.ctl('gateway', 'list', '--json')).json.total
  seen.outside = (await user.ctl('gateway', 'map', '99', '10.5.0.1', '--json')).json.message
  seen.twice = (await user.ctl('gateway', 'start', '--json')).json.code
  seen.unmap = (await user.ctl('gateway', 'unmap', '10.4.7.7', '--json')).json
  seen.unmapAgain = (await user.ctl('gateway', 'unmap', '10.4.7.7', '--json')).json.code
  seen.afterUnmap = aliases()

  first.kill('SIGKILL')
  await gone(first)
  seen.afterKill = aliases()
  execFileSync('ip', ['addr', 'add', '10.4.0.9/32', 'dev', 'lo'])
  const second = await startGateway(user)
  seen.afterRestart = aliases()
  await user.ctl('gateway', 'map', target, '10.4.0.9', '--json')
  await user.ctl('gateway', 'map', '77', '10.4.0.3', '--json')
  const ended = gone(second)
  seen.stop = typeof (await user.ctl('gateway', 'stop', '--json')).json.pid
  await ended
  seen.exitCode = second.exitCode
  seen.afterStop = aliases()
  seen.notRunning = (await user.ctl('gateway', 'list', '--json')).json.code
} finally {
  await user.dispose()
  await rendezvous.stop()
}
console.log(JSON.stringify(seen))
process.exit(0)
