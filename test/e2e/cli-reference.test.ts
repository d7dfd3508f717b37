/**
 * The command lines and daemons of the reference's generations and ours, crosswise. Runs where
 * `PILOT_REFERENCE_G1` and `PILOT_REFERENCE_G2` name folders with `pilotctl` and `daemon`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GENERATIONS, referenceFolder } from '../interop/programs.ts'
import { generated } from '../support.ts'
import { type Ran, Rendezvous, User } from './programs.ts'

for (const generation of GENERATIONS) {
  const found = referenceFolder(generation)
  describe.skipIf('missing' in found)(`beside ${generation}`, () => {
    beside(
      'folder' in found ? found.folder : '',
      generation === 'G2' ? ['-email', 'theirs@example.org'] : [],
    )
  })
}

/** `flags`: what its daemon does not start without. */
function beside(reference: string, flags: readonly string[]): void {
  let rendezvous: Rendezvous
  /** Our daemon; a daemon of the reference. */
  let ours: User
  let theirs: User
  let daemon: ChildProcess

  const referenceCtl = (user: User, ...argv: string[]): Promise<Ran> =>
    user.run(join(reference, 'pilotctl'), argv)

  beforeAll(async () => {
    rendezvous = await Rendezvous.start()
    ours = new User(rendezvous)
    theirs = new User(rendezvous)
    const argv = [
      '-registry',
      rendezvous.registry,
      '-beacon',
      rendezvous.beacon,
      '-socket',
      theirs.socket,
    ]
    argv.push(
      '-identity',
      join(theirs.home, 'identity.json'),
      '-hostname',
      'theirs',
      '-public',
      ...flags,
    )
    daemon = spawn(join(reference, 'daemon'), argv, { env: theirs.env, stdio: 'ignore' })
    const started = await ours.ctl('daemon', 'start', '--hostname', 'ours', '--public', '--json')
    expect(started.stderr).toBe('')
    expect((await theirs.eventually(10_000, 'info', '--json')).code).toBe(0)
  })
  afterAll(async () => {
    const exited = new Promise((resolve) => daemon.once('exit', resolve))
    if (daemon.exitCode === null && daemon.kill('SIGTERM')) await exited
    await ours.dispose()
    await theirs.dispose()
    await rendezvous.stop()
  })

  it('their pilotctl drives our daemon', async () => {
    expect((await referenceCtl(ours, 'info')).stdout).toContain('Hostname:    ours')
    const ping = await referenceCtl(ours, '--json', 'ping', 'theirs', '--count', '2')
    expect(ping.json.results).toMatchObject([{ bytes: 6 }, { bytes: 6 }])
    expect(
      (await referenceCtl(ours, '--json', 'send-message', 'theirs', '--data', 'hi')).json.ack,
    ).toBe('ACK TEXT 2 bytes')
    for (const command of ['peers', 'connections', 'trust', 'pending'])
      expect((await referenceCtl(ours, '--json', command)).code, command).toBe(0)
    const received = referenceCtl(ours, '--json', 'recv', '5000', '--timeout', '20s')
    let sent: Ran | undefined
    for (let i = 0; i < 40 && sent?.code !== 0; i++)
      sent = await theirs.ctl('send', 'ours', '5000', '--data', 'to port 5000', '--json')
    expect((await received).json.messages).toMatchObject([{ data: 'to port 5000' }])
  })

  it('our pilotctl drives their daemon', async () => {
    expect((await theirs.ctl('health', '--json')).json).toMatchObject({ status: 'ok' })
    const ping = await theirs.ctl('ping', 'ours', '--count', '2', '--json')
    expect(ping.json.results).toMatchObject([{ bytes: 6 }, { bytes: 6 }])
    const { json } = await theirs.ctl('connect', 'ours', '--message', 'hello', '--json')
    expect(json.response).toBe('ACK TEXT 5 bytes\n')
    expect((await theirs.ctl('dgram', 'ours', '5', '--data', 'x', '--json')).json.confirmed).toBe(
      false,
    )
    expect((await theirs.ctl('set-tags', 'a', '--json')).json).toMatchObject({ tags: ['a'] })
  })

  it('files both ways, by the means both have; a file of 3 MB through their pilotctl', async () => {
    const data = generated(3_000_000)
    const path = join(ours.home, 'data.bin')
    writeFileSync(path, data)
    const sent = await ours.ctl('send-file', 'theirs', path, '--json')
    expect(sent.json).toMatchObject({ method: 'file', ack: 'ACK FILE 3000000 bytes' })
    // One Send frame of 3 MB, which their own daemon would refuse.
    const theirsSent = await referenceCtl(ours, '--json', 'send-file', 'theirs', path)
    expect(theirsSent.json.ack).toBe('ACK FILE 3000000 bytes')
    const files = (await theirs.ctl('received', '--json')).json.files as { path: string }[]
    expect(files).toHaveLength(2)
    for (const file of files) expect(readFileSync(file.path).equals(data)).toBe(true)
    writeFileSync(path, data.subarray(0, 500_000))
    const back = await referenceCtl(theirs, '--json', 'send-file', 'ours', path)
    expect(back.json.ack).toBe('ACK FILE 500000 bytes')
  })

  it('subscribe at their broker, publish with their pilotctl', async () => {
    const heard = ours.ctl(
      'subscribe',
      'theirs',
      'news',
      '--count',
      '1',
      '--timeout',
      '20s',
      '--json',
    )
    let isHeard = false
    void heard.then(() => {
      isHeard = true
    })
    while (!isHeard) await referenceCtl(ours, 'publish', 'theirs', 'news', '--data', 'event')
    expect((await heard).json.events).toMatchObject([{ topic: 'news', data: 'event' }])
  })
}
