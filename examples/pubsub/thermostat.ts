/**
 * An agent that reacts to events: hears temperatures at a node's broker, and publishes there whether to heat. It uses
 * the daemon of its user, through `pilotctl`.
 */
import { execFile, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

const [broker = 'hub'] = process.argv.slice(2)
const COLD_BELOW = 19

const subscription = spawn('npx', ['pilotctl', 'subscribe', broker, 'temperature', '--json'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
let last = ''
for await (const line of createInterface(subscription.stdout)) {
  const event: { data: string } = JSON.parse(line)
  const degrees = Number.parseFloat(event.data)
  if (!Number.isFinite(degrees)) continue
  const heating = degrees < COLD_BELOW ? 'on' : 'off'
  if (heating === last) continue
  await promisify(execFile)('npx', ['pilotctl', 'publish', broker, 'heating', '--data', heating])
  console.log(`${degrees} degrees: heating ${heating}`)
  last = heating
}
