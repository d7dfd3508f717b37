/**
 * What `npm test` repeats at its very end: a line per failed or retried test and per error outside of tests,
 * appended to the file that `PILOT_TEST_REPORT` names; nothing without it. One JSON object per line.
 */
import { appendFileSync } from 'node:fs'

const file = process.env.PILOT_TEST_REPORT
const excerptLines = 12

const excerpt = (errors) =>
  (errors ?? [])
    .flatMap(({ stack, message }) => (stack ?? String(message)).split('\n'))
    .filter((line) => !line.includes('node_modules'))
    .slice(0, excerptLines)

const write = (entry) => appendFileSync(file, `${JSON.stringify(entry)}\n`)

export default class FailureReporter {
  onTestRunEnd(modules, unhandled) {
    if (file === undefined) return
    for (const module of modules) {
      const where = module.relativeModuleId
      if (module.errors().length > 0)
        write({ kind: 'failed', name: where, lines: excerpt(module.errors()) })
      for (const suite of module.children.allSuites())
        if (suite.errors().length > 0)
          write({
            kind: 'failed',
            name: `${where} > ${suite.fullName}`,
            lines: excerpt(suite.errors()),
          })
      for (const test of module.children.allTests()) {
        const { state, errors } = test.result()
        const name = `${where} > ${test.fullName}`
        if (state === 'failed') write({ kind: 'failed', name, lines: excerpt(errors) })
        else if (test.diagnostic()?.flaky) write({ kind: 'retried', name, lines: excerpt(errors) })
      }
    }
    for (const error of unhandled)
      write({ kind: 'failed', name: 'outside of the tests', lines: excerpt([error]) })
  }
}
