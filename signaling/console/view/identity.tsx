/** The identity: sealed under a passphrase into a file, and back from one. */
import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { type IdentityStatus, openIdentityVault } from '../../../runtimes/browser/index.ts'
import { notify } from '../model/notices.ts'
import { codeOf, wordsOf } from '../model/plain-words.ts'
import { download } from '../model/received-files.ts'
import { FieldProblem } from './parts.tsx'

const PASSPHRASE_MIN = 8
const EXPORT_BYTES_MAX = 4096

/** Why this is no passphrase to seal a key under; `undefined` when it is one. */
export function passphraseProblem(passphrase: string): string | undefined {
  return passphrase.length < PASSPHRASE_MIN
    ? `At least ${PASSPHRASE_MIN} characters: whoever has the file can guess for years.`
    : undefined
}

export function ExportIdentity({ address }: { readonly address: string }): JSX.Element {
  const [status, setStatus] = useState<IdentityStatus | undefined>()
  useEffect(() => {
    openIdentityVault()
      .then((vault) => vault.status())
      .then(setStatus)
      .catch(() => {}) // then there is nothing to save
  }, [])
  if (status?.isExportable === false)
    return (
      <p class="hint">
        The address belongs to a key that this browser holds and gives to nobody: it was made
        without a recovery passphrase, so it cannot be saved. For one that can, clear this site’s
        data and join anew with a recovery passphrase; that makes a new address.
      </p>
    )
  return <ExportForm address={address} isNew={status?.protection === 'wrapped'} />
}

/** `isNew`: any passphrase will do; else it is the recovery passphrase of the first visit. */
function ExportForm({
  address,
  isNew,
}: {
  readonly address: string
  readonly isNew: boolean
}): JSX.Element {
  const [passphrase, setPassphrase] = useState('')
  const [problem, setProblem] = useState<string | undefined>()
  const [isBusy, setBusy] = useState(false)
  const save = async (event: Event): Promise<void> => {
    event.preventDefault()
    const weak = passphraseProblem(passphrase)
    if (weak !== undefined) {
      setProblem(weak)
      return
    }
    setBusy(true)
    try {
      const bytes = await (await openIdentityVault()).export(passphrase)
      download(new Blob([new Uint8Array(bytes)]), `pilot-${address.replace(/[:.]/g, '-')}.pilotid`)
      setPassphrase('')
      setProblem(undefined)
      notify(
        'good',
        'Identity saved. File and passphrase together are this address: keep them apart.',
      )
    } catch (error) {
      setProblem(
        codeOf(error) === 'ERR_IDENTITY_INVALID'
          ? 'That is not the recovery passphrase of this identity.'
          : wordsOf(error),
      )
    } finally {
      setBusy(false)
    }
  }
  return (
    <form class="stack" onSubmit={(event) => void save(event)}>
      {/* What a password manager files the passphrase under. */}
      <input
        class="unseen"
        type="text"
        autocomplete="username"
        value={address}
        readOnly
        tabIndex={-1}
        aria-hidden="true"
      />
      <p class="hint">
        The address belongs to a key in this browser. If the browser forgets it, the address is
        gone, unless you saved it.
      </p>
      <div class="field">
        <label for="export-passphrase">
          {isNew ? 'Passphrase for the file' : 'The recovery passphrase it was made with'}
        </label>
        <div class="row">
          <input
            id="export-passphrase"
            type="password"
            autocomplete={isNew ? 'new-password' : 'current-password'}
            value={passphrase}
            aria-describedby="export-problem"
            aria-invalid={problem !== undefined}
            onInput={(event) => {
              setPassphrase(event.currentTarget.value)
              setProblem(undefined)
            }}
          />
          <button type="submit" disabled={isBusy}>
            {isBusy ? 'Working …' : 'Save to a file'}
          </button>
        </div>
        <FieldProblem id="export-problem" text={problem} />
      </div>
    </form>
  )
}

/** Only while not joined: the identity of a running node cannot change. */
export function ImportIdentity(): JSX.Element {
  const [file, setFile] = useState<File | undefined>()
  const [passphrase, setPassphrase] = useState('')
  const [problem, setProblem] = useState<string | undefined>()
  const [isBusy, setBusy] = useState(false)
  const load = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (file === undefined || file.size > EXPORT_BYTES_MAX) {
      setProblem(file === undefined ? 'Choose the file first.' : 'This is not a saved identity.')
      return
    }
    setBusy(true)
    try {
      const bytes = new Uint8Array(await file.arrayBuffer())
      await (await openIdentityVault()).import(bytes, passphrase)
      setProblem(undefined)
      setPassphrase('')
      notify('good', 'The identity is in this browser now. Join to use its address.')
    } catch (error) {
      setProblem(
        codeOf(error) === 'ERR_IDENTITY_INVALID'
          ? 'The file does not open: wrong passphrase, or not a saved identity.'
          : wordsOf(error),
      )
    } finally {
      setBusy(false)
    }
  }
  return (
    <details class="card">
      <summary>Use a saved identity</summary>
      <form class="stack" onSubmit={(event) => void load(event)}>
        <input
          class="unseen"
          type="text"
          autocomplete="username"
          tabIndex={-1}
          aria-hidden="true"
        />
        <p class="hint">It replaces the one in this browser.</p>
        <div class="field">
          <label for="import-file">File</label>
          <input
            id="import-file"
            type="file"
            accept=".pilotid"
            onChange={(event) => {
              setFile(event.currentTarget.files?.[0])
              setProblem(undefined)
            }}
          />
        </div>
        <div class="field">
          <label for="import-passphrase">Its passphrase</label>
          <input
            id="import-passphrase"
            type="password"
            autocomplete="off"
            value={passphrase}
            aria-describedby="import-problem"
            onInput={(event) => setPassphrase(event.currentTarget.value)}
          />
          <FieldProblem id="import-problem" text={problem} />
        </div>
        <button type="submit" disabled={isBusy}>
          {isBusy ? 'Opening …' : 'Take it over'}
        </button>
      </form>
    </details>
  )
}
