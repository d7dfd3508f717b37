/** Finding a node by hostname, address or number, and asking it for trust. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { type Joined, JUSTIFICATION_MAX } from '../model/joined.ts'
import { notify } from '../model/notices.ts'
import { formatView, isTarget } from '../model/place.ts'
import { wordsOf } from '../model/plain-words.ts'
import { go } from './location.ts'
import { FieldProblem } from './parts.tsx'

export function AskForm({ joined }: { readonly joined: Joined }): JSX.Element {
  const [target, setTarget] = useState('')
  const [why, setWhy] = useState('')
  const [problem, setProblem] = useState<string | undefined>()
  const [isBusy, setBusy] = useState(false)
  const find = async (work: (nodeId: number) => Promise<void> | void): Promise<void> => {
    if (!isTarget(target.trim())) {
      setProblem('A hostname like agent-a, an address like 0:0000.0000.0007, or a node number.')
      return
    }
    setBusy(true)
    try {
      const nodeId = await joined.find(target)
      if (nodeId === joined.node.nodeId) setProblem('That is this node itself.')
      else await work(nodeId)
    } catch (error) {
      setProblem(wordsOf(error))
    } finally {
      setBusy(false)
    }
  }
  const ask = (event: Event): void => {
    event.preventDefault()
    void find(async (nodeId) => {
      notify('good', await joined.ask(nodeId, why.trim()))
      setTarget('')
      setWhy('')
    })
  }
  const look = (): void => {
    void find((nodeId) => {
      setTarget('')
      go(formatView({ name: 'peer', nodeId, tab: 'connection' }))
    })
  }
  return (
    <form class="stack" onSubmit={ask} noValidate>
      <div class="field">
        <label for="ask-target">Hostname or address</label>
        <input
          id="ask-target"
          value={target}
          onInput={(event) => {
            setTarget(event.currentTarget.value)
            setProblem(undefined)
          }}
          aria-invalid={problem !== undefined}
          aria-describedby="ask-problem"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          placeholder="agent-a"
        />
        <FieldProblem id="ask-problem" text={problem} />
      </div>
      <div class="field">
        <label for="ask-why">
          Why <span class="soft">(shown to it)</span>
        </label>
        <input
          id="ask-why"
          value={why}
          maxLength={JUSTIFICATION_MAX}
          onInput={(event) => setWhy(event.currentTarget.value)}
          autocomplete="off"
          placeholder="we should talk"
        />
      </div>
      <div class="row">
        <button type="submit" class="primary" disabled={isBusy}>
          Ask for trust
        </button>
        <button type="button" disabled={isBusy} onClick={look}>
          View node
        </button>
      </div>
    </form>
  )
}
