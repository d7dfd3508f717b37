/**
 * One process of a measurement, started by `processes.ts`: `worker.js <role> <module> <json>`. It says what it has as
 * messages to its parent, which asks it for what it used.
 */
import type { Ceiling, Channel, Figures, Meter, Setup, System, Usage } from './channel.ts'
import { answer, measureMemory, measureSpeed } from './work.ts'

const [role = '', module = '', json = '{}'] = process.argv.slice(2)
const setup = JSON.parse(json) as Setup
const loaded = (await import(module)) as { default: System | Ceiling }
const system = loaded.default

const waiting: ((usage: Usage) => void)[] = []
process.on('message', (message: { usage?: true; sampled?: Usage }) => {
  if (message.usage === true) {
    const { user, system: kernel } = process.cpuUsage()
    process.send?.({ used: { cpuUs: user + kernel, rss: process.memoryUsage.rss() } })
  } else if (message.sampled !== undefined) waiting.shift()?.(message.sampled)
})
process.on('disconnect', () => process.exit(0))

const meter: Meter = {
  sample: () =>
    new Promise((resolve) => {
      waiting.push(resolve)
      process.send?.({ sample: true })
    }),
}

async function figures(): Promise<Figures> {
  if ('measureCeiling' in system) return system.measureCeiling(setup, meter)
  const client = await system.client(setup)
  const measure = role === 'memory' ? measureMemory : measureSpeed
  return measure(client, setup.amount, meter)
}

async function serve(): Promise<unknown> {
  if ('serveCeiling' in system) return system.serveCeiling(setup)
  return system.serve(setup, (channel: Channel) => answer(channel))
}

if (role === 'server') process.send?.({ said: await serve() })
else if (role === 'broker') process.send?.({ said: await (system as System).broker?.(setup) })
else process.send?.({ said: await figures() })
