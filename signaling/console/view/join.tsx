/** Joining: a hostname, who may find the node, where; and what stood in the way. */
import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { openIdentityVault } from '../../../runtimes/browser/index.ts'
import { hostnameProblem } from '../../validation.ts'
import { displayLine } from '../model/format.ts'
import { parsePairTarget } from '../model/place.ts'
import type { Session } from '../model/session.ts'
import { ImportIdentity, passphraseProblem } from './identity.tsx'
import { hash } from './location.ts'
import { FieldProblem } from './parts.tsx'

export interface JoinProps {
  readonly session: Session
  readonly ownRendezvous: string | undefined
}

export function JoinView({ session, ownRendezvous }: JoinProps): JSX.Element {
  const state = session.state.value
  const invitedTo = parsePairTarget(hash.value)
  if (state.name === 'leaving')
    return (
      <main class="join">
        <p role="status">Leaving …</p>
      </main>
    )
  return (
    <main class="join">
      <header>
        <img src="icon.svg" alt="" width="40" height="40" />
        <div>
          <h1>Pilot console</h1>
          <p class="soft">This tab becomes a node: own address, trusted peers, sealed tunnels.</p>
        </div>
      </header>
      {isSecureContext ? (
        <>
          {invitedTo !== undefined && (
            <p class="invitation" role="note">
              You were invited to pair with <strong dir="auto">{displayLine(invitedTo)}</strong>.
              When you join, it is asked for trust in your name.
            </p>
          )}
          {state.name === 'joining' ? (
            <Joining session={session} />
          ) : (
            <>
              <JoinForm session={session} ownRendezvous={ownRendezvous} invitedTo={invitedTo} />
              <ImportIdentity />
            </>
          )}
        </>
      ) : (
        <p class="problem" role="alert">
          Browsers let a page keep keys only over https or on localhost. Open this page by
          https://…, or through a tunnel as http://localhost:….
        </p>
      )}
    </main>
  )
}

function Joining({ session }: { readonly session: Session }): JSX.Element {
  const state = session.state.value
  const problem = state.name === 'joining' ? state.problem : undefined
  return (
    <div class="card stack" role="status">
      <p>
        <span class="spinner" aria-hidden="true" /> Joining{' '}
        <span class="soft">{displayLine(session.settings.value.rendezvous)}</span> …
      </p>
      {problem !== undefined && <p class="problem">{problem.text} It is tried again by itself.</p>}
      <div class="row end">
        <button type="button" onClick={() => session.cancel()}>
          Cancel
        </button>
      </div>
    </div>
  )
}

function JoinForm({
  session,
  ownRendezvous,
  invitedTo,
}: JoinProps & { readonly invitedTo: string | undefined }): JSX.Element {
  const remembered = session.settings.value
  const [hostname, setHostname] = useState(remembered.hostname)
  const [isPublic, setPublic] = useState(remembered.isPublic)
  const [rendezvous, setRendezvous] = useState(remembered.rendezvous)
  const [isTouched, setTouched] = useState(false)
  const [recovery, setRecovery] = useState('')
  const isFirstVisit = useFirstVisit()
  const state = session.state.value
  const refused = state.name === 'out' ? state.problem : undefined
  const hostnameField = useRef<HTMLInputElement>(null)
  const rendezvousField = useRef<HTMLInputElement>(null)
  useEffect(() => {
    if (refused?.field === 'rendezvous') rendezvousField.current?.focus()
    else hostnameField.current?.focus()
  }, [refused])

  const badHostname = hostname === '' ? undefined : hostnameProblem(hostname)
  const hostnameText =
    isTouched && badHostname !== undefined
      ? `${capital(badHostname)}.`
      : refused?.field === 'hostname'
        ? refused.text
        : undefined
  const badRecovery = recovery === '' ? undefined : passphraseProblem(recovery)
  const isNamed = ownRendezvous !== undefined
  const submit = (event: Event): void => {
    event.preventDefault()
    setTouched(true)
    if (badHostname !== undefined) {
      hostnameField.current?.focus()
      return
    }
    if (rendezvous.trim() === '') {
      rendezvousField.current?.focus()
      return
    }
    if (badRecovery !== undefined) return
    session.pairingConfirmed = invitedTo
    void session.join(
      { rendezvous: rendezvous.trim(), hostname, isPublic, isJoined: false },
      { recoveryPassphrase: recovery === '' ? undefined : recovery },
    )
  }
  return (
    <form class="card stack" onSubmit={submit} noValidate>
      <div class="field">
        <label for="hostname">
          Hostname <span class="soft">(optional)</span>
        </label>
        <input
          id="hostname"
          ref={hostnameField}
          value={hostname}
          onInput={(event) => {
            setTouched(false)
            setHostname(event.currentTarget.value.trim().toLowerCase())
          }}
          onBlur={() => setTouched(true)}
          aria-invalid={hostnameText !== undefined}
          aria-describedby="hostname-hint hostname-problem"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          placeholder="my-laptop"
        />
        <p id="hostname-hint" class="hint">
          What others type to find you: a–z, 0–9 and hyphens.
        </p>
        <FieldProblem id="hostname-problem" text={hostnameText} />
      </div>
      <fieldset>
        <legend>Who may connect</legend>
        <label class="choice">
          <input
            type="radio"
            name="visibility"
            checked={!isPublic}
            onChange={() => setPublic(false)}
          />
          <span>
            Private <span class="soft">– only nodes you approved</span>
          </span>
        </label>
        <label class="choice">
          <input
            type="radio"
            name="visibility"
            checked={isPublic}
            onChange={() => setPublic(true)}
          />
          <span>
            Public <span class="soft">– anybody may ping it and use its echo</span>
          </span>
        </label>
      </fieldset>
      {isNamed ? (
        <FieldProblem
          id="rendezvous-problem"
          text={refused?.field === 'rendezvous' ? refused.text : undefined}
        />
      ) : (
        <div class="field">
          <label for="rendezvous">Rendezvous</label>
          <input
            id="rendezvous"
            ref={rendezvousField}
            value={rendezvous}
            onInput={(event) => setRendezvous(event.currentTarget.value)}
            aria-invalid={refused?.field === 'rendezvous'}
            aria-describedby="rendezvous-hint rendezvous-problem"
            inputMode="url"
            autocomplete="url"
            autocapitalize="none"
            spellcheck={false}
            placeholder="wss://rendezvous.example"
          />
          <p id="rendezvous-hint" class="hint">
            The server where nodes find each other.
          </p>
          <FieldProblem
            id="rendezvous-problem"
            text={
              refused?.field === 'rendezvous'
                ? refused.text
                : isTouched && rendezvous.trim() === ''
                  ? 'Say which rendezvous to join.'
                  : undefined
            }
          />
        </div>
      )}
      {isFirstVisit && (
        <details>
          <summary>Make this address movable</summary>
          <div class="field">
            <label for="recovery">
              Recovery passphrase <span class="soft">(optional)</span>
            </label>
            <input
              id="recovery"
              type="password"
              autocomplete="new-password"
              value={recovery}
              onInput={(event) => setRecovery(event.currentTarget.value)}
              aria-invalid={isTouched && badRecovery !== undefined}
              aria-describedby="recovery-hint recovery-problem"
            />
            <p id="recovery-hint" class="hint">
              With one, you can save this identity to a file later. Without one, the browser keeps
              the key for itself: nobody can copy it, you neither.
            </p>
            <FieldProblem id="recovery-problem" text={isTouched ? badRecovery : undefined} />
          </div>
        </details>
      )}
      {refused !== undefined && refused.field === undefined && (
        <p class="problem" role="alert">
          {refused.text}
        </p>
      )}
      <button type="submit" class="primary">
        {invitedTo === undefined ? 'Join' : 'Join and ask for trust'}
      </button>
    </form>
  )
}

/** True once it is known that this browser has no identity yet. */
function useFirstVisit(): boolean {
  const [isFirst, setFirst] = useState(false)
  useEffect(() => {
    openIdentityVault()
      .then((vault) => vault.status())
      .then((status) => setFirst(status === undefined))
      .catch(() => {}) // joining says what is wrong with it
  }, [])
  return isFirst
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
