/** The API reference from the built declarations: what `npm run docs` writes. */
import { expect, it } from 'vitest'
import { apiReference } from '../../runtimes/build/docs.ts'

const { pages, warnings } = apiReference()

it('has a comment for whatever is exported, and names only codes and links that exist', () => {
  expect(warnings).toEqual([])
})

it('has a page for every entry, with what that exports', () => {
  const names =
    'browser browser-worker bun core core-noble deno edge node pilot-ts signaling signaling-workerd README'
  const files = names.split(' ').map((name) => `${name}.md`)
  expect(new Set(pages.keys())).toEqual(new Set(files))
  const node = pages.get('node.md') ?? ''
  expect(node).toContain('### createNode\n\nStarts a node')
  expect(node).toContain('### PilotConnection')
  // Members keep their comments.
  expect(node).toContain('No more writes; what was written is delivered, then FIN.')
  expect(pages.get('pilot-ts.md')).toContain('### createNode')
})
