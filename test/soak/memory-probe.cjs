/**
 * Loaded into a program under test (`NODE_OPTIONS=--require`): on SIGUSR2 it collects all garbage and writes
 * what memory is left to `$PILOT_TEST_MEMORY/<pid>.json`. What a heap may hold before it is collected says
 * nothing about leaks.
 */
const { renameSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { setFlagsFromString } = require('node:v8')
const { runInNewContext } = require('node:vm')

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')

process.on('SIGUSR2', () => {
  collect()
  // What finalizers let go is collected the second time.
  setTimeout(() => {
    collect()
    const path = join(process.env.PILOT_TEST_MEMORY, `${process.pid}.json`)
    writeFileSync(`${path}.tmp`, JSON.stringify(process.memoryUsage()))
    renameSync(`${path}.tmp`, path)
  }, 100)
})
