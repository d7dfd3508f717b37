/** Files to and from a peer. */
import type { JSX } from 'preact'
import { useRef, useState } from 'preact/hooks'
import { type Contact, nameOf } from '../model/contact.ts'
import {
  displayLine,
  formatBytes,
  formatDuration,
  formatRate,
  formatTime,
} from '../model/format.ts'
import type { Joined } from '../model/joined.ts'
import {
  download,
  FILE_BYTES_MAX,
  FILES_BYTES_MAX,
  type ReceivedFile,
} from '../model/received-files.ts'
import { isOver, type Transfer } from '../model/transfer-list.ts'
import { ConfirmButton, CopyButton, Empty } from './parts.tsx'

export interface FilesViewProps {
  readonly joined: Joined
  readonly contact: Contact
}

export function FilesView({ joined, contact }: FilesViewProps): JSX.Element {
  const { nodeId } = contact
  const transfers = joined.transfers.transfers.value.filter((one) => one.nodeId === nodeId)
  const files = joined.files.files.value.filter((one) => one.nodeId === nodeId)
  return (
    <div class="stack">
      <DropArea
        name={nameOf(contact)}
        onFiles={(chosen) => {
          for (const file of chosen) joined.sendFile(nodeId, file)
        }}
      />
      {transfers.length > 0 && (
        <section aria-labelledby="transfers-title">
          <h2 id="transfers-title">Transfers</h2>
          <ul class="transfers">
            {transfers.map((transfer) => (
              <TransferRow key={transfer.id} joined={joined} transfer={transfer} />
            ))}
          </ul>
        </section>
      )}
      <section aria-labelledby="received-title">
        <h2 id="received-title">Received</h2>
        {files.length === 0 ? (
          <Empty>
            Nothing yet. This page takes files up to {formatBytes(FILE_BYTES_MAX)},{' '}
            {formatBytes(FILES_BYTES_MAX)} in all, and keeps them in this browser.
          </Empty>
        ) : (
          <ul class="received">
            {files.map((file) => (
              <ReceivedRow key={file.id} joined={joined} file={file} />
            ))}
          </ul>
        )}
      </section>
    </div>
  )
}

function DropArea({
  name,
  onFiles,
}: {
  readonly name: string
  readonly onFiles: (files: readonly File[]) => void
}): JSX.Element {
  const [isOverIt, setOverIt] = useState(false)
  const picker = useRef<HTMLInputElement>(null)
  const drop = (event: DragEvent): void => {
    event.preventDefault()
    setOverIt(false)
    onFiles([...(event.dataTransfer?.files ?? [])])
  }
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the button inside does the same by keyboard
    <div
      class={isOverIt ? 'drop over' : 'drop'}
      onDragOver={(event) => {
        event.preventDefault()
        setOverIt(true)
      }}
      onDragLeave={() => setOverIt(false)}
      onDrop={drop}
    >
      <p>
        <span class="wide-only">Drop files here, or </span>
        <button type="button" class="primary" onClick={() => picker.current?.click()}>
          Choose files
        </button>{' '}
        for {name}
      </p>
      <input
        ref={picker}
        id="file-picker"
        class="unseen"
        type="file"
        multiple
        tabIndex={-1}
        aria-label={`Files for ${name}`}
        onChange={(event) => {
          onFiles([...(event.currentTarget.files ?? [])])
          event.currentTarget.value = ''
        }}
      />
    </div>
  )
}

const STATE_WORDS = {
  hashing: 'Reading',
  waiting: 'Waiting for the peer',
  moving: '',
  verifying: 'Verifying',
  done: 'Done',
  failed: 'Failed',
  cancelled: 'Cancelled',
} as const

function TransferRow({
  joined,
  transfer,
}: {
  readonly joined: Joined
  readonly transfer: Transfer
}): JSX.Element {
  const { id, direction, name, size, state, bytes, bytesPerSecond, secondsLeft, sha256, note } =
    transfer
  const shown = displayLine(name, 120)
  const share = size === 0 ? 1 : bytes / size
  const moving =
    state === 'moving'
      ? `${formatBytes(bytes)} of ${formatBytes(size)} · ${formatRate(bytesPerSecond)} · ${formatDuration(secondsLeft)} left`
      : `${STATE_WORDS[state]} · ${formatBytes(size)}`
  return (
    <li class="transfer" data-state={state} data-direction={direction}>
      <p class="name">
        <span aria-hidden="true">{direction === 'out' ? '↑' : '↓'}</span>
        <span class="unseen">{direction === 'out' ? 'To the peer:' : 'From the peer:'}</span>{' '}
        <bdi>{shown}</bdi>
      </p>
      {isOver(transfer) ? (
        <button
          type="button"
          class="plain"
          aria-label={`Remove ${shown} from the list`}
          onClick={() => joined.transfers.dismiss(id)}
        >
          ×
        </button>
      ) : (
        <button
          type="button"
          aria-label={`Cancel ${shown}`}
          onClick={() => joined.transfers.cancel(id)}
        >
          Cancel
        </button>
      )}
      <progress
        value={isOver(transfer) && state !== 'done' ? 0 : share}
        max={1}
        aria-label={`Progress of ${shown}`}
      />
      <p class="meta">
        {moving}
        {note !== '' && <span dir="auto"> · {note}</span>}
      </p>
      {sha256 !== '' && <Hash sha256={sha256} />}
    </li>
  )
}

function ReceivedRow({
  joined,
  file,
}: {
  readonly joined: Joined
  readonly file: ReceivedFile
}): JSX.Element {
  const { id, name, size, sha256, at, blob } = file
  const shown = displayLine(name, 120)
  return (
    <li class="file">
      <p class="name">
        <bdi>{shown}</bdi>
      </p>
      <div class="row">
        <button
          type="button"
          aria-label={`Save ${shown}`}
          onClick={() => download(blob, displayLine(name, 255))}
        >
          Save
        </button>
        <ConfirmButton
          title="Remove this file?"
          text={`${shown} is removed from this browser.`}
          action="Remove it"
          onConfirm={() => void joined.files.remove(id)}
        >
          Remove
        </ConfirmButton>
      </div>
      <p class="meta">
        {formatBytes(size)} · {formatTime(at)}
      </p>
      <Hash sha256={sha256} />
    </li>
  )
}

function Hash({ sha256 }: { readonly sha256: string }): JSX.Element {
  return (
    <p class="hash">
      SHA-256 <code>{sha256}</code> <CopyButton text={sha256} label="SHA-256" />
    </p>
  )
}
