/** The examples that are programs, by the commands of their READMEs, from the built package by its public name. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { createRendezvous, type Rendezvous } from '../../signaling/index.ts'
import { buildPackage } from '../build-package.ts'
import { type Ran, User } from '../e2e/programs.ts'
import { run, start } from './documented.ts'

let rendezvous: Rendezvous
let place: { readonly registry: string; readonly beacon: string }
let more: readonly string[]

beforeAll(async () => {
  await buildPackage()
  const any = '127.0.0.1:0'
  // More nodes than one address may register in a minute.
  const limits = { registrationsPerMinute: 1000 }
  rendezvous = await createRendezvous({ registryAddress: any, beaconAddress: any, limits })
  place = {
    registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
    beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
  }
  more = [place.registry, place.beacon]
})

afterAll(() => rendezvous.close())

it.each([
  'node examples/hello/hello.ts',
  'deno run --unstable-net --allow-net examples/hello/hello.ts',
  'bun run examples/hello/hello.ts',
])('hello: %s', async (command) => {
  expect(await run('hello', command, { more })).toBe('hello, alice')
})

it('runtimes/README.md: two programs that trust each other first', async () => {
  const root = join(import.meta.dirname, '../..')
  const readme = readFileSync(join(root, 'runtimes/README.md'), 'utf8')
  // Inside of the project, where `pilot-ts` is its build.
  const folder = mkdtempSync(join(root, 'dist/.two-programs-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const where = `registry: '${place.registry}', beacon: '${place.beacon}'`
  for (const name of ['alice', 'bob']) {
    const code = new RegExp(`\`\`\`ts\n(// ${name}\\.ts[^]*?)\`\`\``).exec(readme)?.[1] ?? ''
    const here = code.replace("registry: '127.0.0.1:9000'", where)
    writeFileSync(join(folder, `${name}.ts`), here.replaceAll("'./", `'${folder}/`))
  }
  const alice = spawn(process.execPath, [join(folder, 'alice.ts')])
  onTestFinished(() => void alice.kill('SIGKILL'))
  const [number] = (await once(alice.stdout, 'data')) as [Buffer]
  const bob = spawn(process.execPath, [join(folder, 'bob.ts'), number.toString().trim()])
  onTestFinished(() => void bob.kill('SIGKILL'))
  expect(await text(bob.stdout)).toBe('hello\n')
})

it('http: a server and a client of node:http', async () => {
  const server = start('http', 'node examples/http/server.ts', { more })
  onTestFinished(() => server.stop())
  await server.tells(/http:\/\/web\/ is node/)
  expect(await run('http', 'node examples/http/get.ts http://web/hello', { more })).toBe(
    '200 {"path":"/hello","agent":"web"}',
  )
})

it('worker-agent: answers, refuses what is no number, and stays', async () => {
  const command = 'node examples/worker-agent/agent.ts'
  const agent = start('worker-agent', command, { more })
  onTestFinished(() => agent.stop())
  await agent.tells(/primes is node/)
  const ask = (question: string): Promise<string> =>
    run('worker-agent', command, { more: [...more, question] })
  expect(await ask('1000000')).toBe('78498 primes below 1000000')
  expect(await ask('many')).toBe('a whole number from 0 to 100000000, please')
})

/** Two daemons, the first of which trusts whoever asks. */
async function daemons(first: string, second: string): Promise<readonly [User, User]> {
  const users = [new User(place), new User(place)] as const
  onTestFinished(async () => {
    await Promise.all(users.map((user) => user.dispose()))
  })
  const begin = ['daemon', 'start', '--listen', '127.0.0.1:0', '--hostname']
  await ok(users[0].ctl(...begin, first, '--trust-auto-approve'))
  await ok(users[1].ctl(...begin, second))
  await ok(users[1].ctl('handshake', first))
  await users[1].eventually(10_000, 'ping', first, '--count', '1')
  return users
}

async function ok(running: Promise<Ran>): Promise<Ran> {
  const ran = await running
  expect(ran.code, ran.stderr + ran.stdout).toBe(0)
  return ran
}

it('pubsub: an agent that reacts to events', async () => {
  const [, agent] = await daemons('hub', 'agent')
  const thermostat = start('pubsub', 'node examples/pubsub/thermostat.ts hub', { env: agent.env })
  onTestFinished(() => thermostat.stop())
  // Nothing confirms a subscription: published until it is heard.
  const heard = thermostat.tells(/17 degrees: heating on/)
  let isHeard = false
  const stop = (): void => {
    isHeard = true
  }
  heard.then(stop, stop)
  while (!isHeard) await ok(agent.ctl('publish', 'hub', 'temperature', '--data', '17'))
  await heard
})

it('tasks: an agent that does what others offer', async () => {
  const [worker, other] = await daemons('worker', 'other')
  const taking = start('tasks', 'node examples/tasks/worker.ts', { env: worker.env })
  onTestFinished(() => taking.stop())
  await taking.tells(/taking tasks/)
  await ok(other.ctl('task', 'submit', 'worker', '--task', 'pear apple'))
  await taking.tells(/pear apple -> apple pear/)
  const listed = await other.ctl('--json', 'task', 'list', '--type', 'submitted')
  expect(listed.stdout).toContain('SUCCEEDED')
})
