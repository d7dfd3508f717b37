/** The declarations of the package, as a user's compiler reads them: nothing of them is skipped. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hello, Project, tool } from './projects.ts'

let project: Project
beforeAll(async () => {
  project = new Project()
  await project.install('npm', 'pilot-ts', '@types/node')
  project.write({
    'hello.ts': hello(),
    'entries.ts': `
      import { createNode, type CreateNodeOptions, PilotError, type PilotNode } from 'pilot-ts'
      import { Identity, NodeMachine } from 'pilot-ts/core'
      import { nobleCrypto } from 'pilot-ts/core/noble'
      import { createNode as createInNode } from 'pilot-ts/node'
      import { createRendezvous, type RendezvousOptions } from 'pilot-ts/signaling'
      const options: CreateNodeOptions = { registry: '127.0.0.1:9000' }
      export const node: Promise<PilotNode> = createNode(options)
      export const same: typeof createNode = createInNode
      export const error: PilotError = new PilotError('ERR_ABORTED', 'text')
      export const identity: Identity = Identity.generate(nobleCrypto((bytes) => new Uint8Array(bytes)))
      export const machine: typeof NodeMachine = NodeMachine
      export const start: (options: RendezvousOptions) => unknown = createRendezvous
      // @ts-expect-error no code of ours: codes are a union, not any string
      new PilotError('ERR_NONE', 'text')
      // @ts-expect-error no such option: the declarations are there, and are not any
      createNode({ none: 1 })
    `,
    'page.ts': `
      import { createNode, type PageNode } from 'pilot-ts/browser'
      export const node: Promise<PageNode> = createNode({ rendezvous: 'wss://rendezvous.example' })
      // @ts-expect-error a page has no registry
      createNode({ registry: '127.0.0.1:9000' })
    `,
  })
})
afterAll(() => project?.[Symbol.asyncDispose]())

const check = (files: readonly string[], ...more: string[]) =>
  project.try(
    tool('tsc'),
    ...['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2024'],
    ...more,
    ...files,
  )

describe.each([
  { resolution: 'nodenext', module: 'nodenext' },
  { resolution: 'bundler', module: 'esnext' },
])('with module resolution $resolution', ({ resolution, module }) => {
  const flags = ['--module', module, '--moduleResolution', resolution]

  it('programs of Node compile', async () => {
    const lib = ['--lib', 'es2024,esnext.disposable', '--types', 'node']
    const { stdout } = await check(['hello.ts', 'entries.ts'], ...flags, ...lib)
    expect(stdout).toBe('')
  })

  it('pages compile without the types of Node', async () => {
    const lib = 'es2024,esnext.disposable,dom,dom.iterable,dom.asynciterable'
    const { stdout } = await check(['page.ts'], ...flags, '--lib', lib, '--types', '')
    expect(stdout).toBe('')
  })
})
