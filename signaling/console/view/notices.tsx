/** Short news at the page's edge; a live region, so that they are read out. */
import type { JSX } from 'preact'
import { dismiss, notices } from '../model/notices.ts'

export function Notices(): JSX.Element {
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.value.map(({ id, kind, text, href, isListed }) => (
        <div key={id} class={`notice ${kind}${isListed === true ? ' listed' : ''}`}>
          {href === undefined ? (
            <span dir="auto">{text}</span>
          ) : (
            <a href={href} dir="auto" onClick={() => dismiss(id)}>
              {text}
            </a>
          )}
          <button type="button" class="plain" aria-label="Dismiss" onClick={() => dismiss(id)}>
            ×
          </button>
        </div>
      ))}
    </div>
  )
}
