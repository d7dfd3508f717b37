/** Who leads, by the Web Locks that Node has too. */
import { describe, expect, it } from 'vitest'
import { Leadership } from '../../../runtimes/browser/tabs/leadership.ts'
import { until } from '../shared/remote/contract.ts'

let count = 0

function stage(): { add(name: string): Leadership; readonly log: string[] } {
  const lock = `leadership-test-${process.pid}-${count++}`
  const log: string[] = []
  return {
    log,
    add: (name) =>
      new Leadership({
        name: lock,
        onelected: () => log.push(`${name} leads`),
        ondeposed: () => log.push(`${name} is deposed`),
      }),
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))

describe('leadership', () => {
  it('goes to one, and to the next when that resigns', async () => {
    const { add, log } = stage()
    const [a, b, c] = [add('a'), add('b'), add('c')]
    for (const one of [a, b, c]) one.stand()
    a.stand() // again says nothing more
    await until(() => log.length === 1)
    expect([a.isLeader, b.isLeader, c.isLeader]).toEqual([true, false, false])
    b.resign() // withdraws
    a.resign()
    await until(() => log.length === 2)
    expect(log).toEqual(['a leads', 'c leads'])
    expect(a.isLeader).toBe(false)
    c.resign()
  })

  it('is seized from one that does not answer, which is told and can stand again', async () => {
    const { add, log } = stage()
    const [a, b] = [add('a'), add('b')]
    a.stand()
    await until(() => a.isLeader)
    b.stand()
    b.seize()
    await until(() => b.isLeader && log.includes('a is deposed'))
    expect(a.isLeader).toBe(false)
    b.seize() // leads already
    a.stand()
    await settle()
    expect(log.filter((line) => line === 'a leads')).toHaveLength(1)
    b.resign()
    await until(() => a.isLeader)
    a.resign()
    await settle()
    expect(log.filter((line) => line.endsWith('deposed'))).toEqual(['a is deposed'])
  })
})
