/** Small parts used everywhere: copying, presence, empty states, asking back. */
import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Presence } from '../model/contact.ts'

const COPIED_MS = 1500

export function CopyButton({
  text,
  label,
  children = 'Copy',
}: {
  readonly text: string
  /** What is copied, for who cannot see it. */
  readonly label: string
  readonly children?: ComponentChildren
}): JSX.Element {
  const [outcome, setOutcome] = useState<'copied' | 'failed' | undefined>()
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => setOutcome('copied'),
      () => setOutcome('failed'),
    )
    setTimeout(() => setOutcome(undefined), COPIED_MS)
  }
  return (
    <button type="button" class="copy" onClick={copy} aria-label={`Copy ${label}`}>
      <span aria-hidden={outcome !== undefined} class={outcome === undefined ? '' : 'unseen'}>
        {children}
      </span>
      <span class="outcome" role="status">
        {outcome === 'copied' ? 'Copied' : outcome === 'failed' ? 'Select it' : ''}
      </span>
    </button>
  )
}

const PRESENCE_WORDS = {
  online: 'answers',
  silent: 'does not answer',
  unknown: 'not known',
} as const

/** A dot whose meaning is also said. */
export function PresenceDot({ presence }: { readonly presence: Presence }): JSX.Element {
  return (
    <span
      class={`dot ${presence}`}
      role="img"
      aria-label={PRESENCE_WORDS[presence]}
      title={PRESENCE_WORDS[presence]}
    />
  )
}

export function Empty({ children }: { readonly children: ComponentChildren }): JSX.Element {
  return <p class="empty">{children}</p>
}

/** A field's complaint, tied to the field by its id. */
export function FieldProblem({
  id,
  text,
}: {
  readonly id: string
  readonly text: string | undefined
}): JSX.Element {
  return (
    <p id={id} class="problem" role="alert">
      {text}
    </p>
  )
}

/** A button that asks before it acts. */
export function ConfirmButton({
  children,
  title,
  text,
  action,
  onConfirm,
}: {
  readonly children: ComponentChildren
  readonly title: string
  readonly text: string
  /** What the confirming button says. */
  readonly action: string
  readonly onConfirm: () => void
}): JSX.Element {
  const [isOpen, setOpen] = useState(false)
  return (
    <>
      <button type="button" class="danger" onClick={() => setOpen(true)}>
        {children}
      </button>
      {isOpen && (
        <Dialog title={title} onClose={() => setOpen(false)}>
          <p dir="auto">{text}</p>
          <div class="row end">
            <button type="button" onClick={() => setOpen(false)}>
              Cancel
            </button>
            <button
              type="button"
              class="danger solid"
              onClick={() => {
                setOpen(false)
                onConfirm()
              }}
            >
              {action}
            </button>
          </div>
        </Dialog>
      )}
    </>
  )
}

/** Modal, closed by Escape; the focus comes back to where it was. */
export function Dialog({
  title,
  onClose,
  children,
}: {
  readonly title: string
  readonly onClose: () => void
  readonly children: ComponentChildren
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const before = document.activeElement
    dialog.current?.showModal()
    return () => {
      if (before instanceof HTMLElement) before.focus()
    }
  }, [])
  return (
    <dialog ref={dialog} aria-label={title} onClose={onClose}>
      <h2>{title}</h2>
      {children}
    </dialog>
  )
}
