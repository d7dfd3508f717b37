import { describe, expect, it } from 'vitest'
import { Farewells } from '../../signaling/farewells.ts'
import { FAREWELL_MS, FAREWELLS_MAX } from '../../signaling/limits.ts'

describe('farewells', () => {
  it('are one-way and end', () => {
    const farewells = new Farewells()
    farewells.add(1, 2, 0)
    expect(farewells.has(1, 2, FAREWELL_MS - 1)).toBe(true)
    expect(farewells.has(2, 1, 0)).toBe(false)
    expect(farewells.has(1, 2, FAREWELL_MS)).toBe(false)
  })

  it('above the cap the oldest is dropped', () => {
    const farewells = new Farewells()
    for (let peer = 0; peer <= FAREWELLS_MAX; peer++) farewells.add(1, peer, 0)
    expect(farewells.has(1, 0, 1)).toBe(false)
    expect(farewells.has(1, 1, 1)).toBe(true)
    expect(farewells.has(1, FAREWELLS_MAX, 1)).toBe(true)
  })
})
