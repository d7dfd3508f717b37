/** The own address, large, and the link that pairs: as text and as QR code. */
import type { JSX } from 'preact'
import { useMemo } from 'preact/hooks'
import { encode } from 'uqr'
import type { Joined } from '../model/joined.ts'
import { pairLink } from '../model/place.ts'
import { CopyButton } from './parts.tsx'

export interface ShareProps {
  readonly joined: Joined
  readonly ownRendezvous: string | undefined
  readonly rendezvous: string
}

export function Share({ joined, ownRendezvous, rendezvous }: ShareProps): JSX.Element {
  const { address, node } = joined
  const link = pairLink(
    location.href,
    address,
    ownRendezvous === rendezvous ? undefined : rendezvous,
  )
  return (
    <section class="card share" aria-labelledby="share-title">
      <div class="stack">
        <h2 id="share-title">This node</h2>
        {node.hostname !== '' && (
          <p class="hostname">
            <span>{node.hostname}</span>
            <CopyButton text={node.hostname} label="hostname" />
          </p>
        )}
        <p class="address">
          <code>{address}</code>
          <CopyButton text={address} label="address" />
        </p>
        <p class="soft">
          {node.isPublic
            ? 'Public: anybody may connect.'
            : 'Private: only nodes you approved may connect.'}
        </p>
        <p>
          To pair, open this link in another browser or scan the code. Its node then asks for trust,
          and you approve here.
        </p>
        <p class="link">
          <a href={link} target="_blank" rel="noopener">
            {link}
          </a>
          <CopyButton text={link} label="pairing link">
            Copy link
          </CopyButton>
        </p>
      </div>
      <QrCode text={link} label={`QR code of the pairing link of ${address}`} />
    </section>
  )
}

function QrCode({ text, label }: { readonly text: string; readonly label: string }): JSX.Element {
  const { path, size } = useMemo(() => {
    const { data, size: modules } = encode(text, { ecc: 'M', border: 2 })
    const squares = data.flatMap((row, y) =>
      row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : '')),
    )
    return { path: squares.join(''), size: modules }
  }, [text])
  return (
    <svg
      class="qr"
      viewBox={`0 0 ${size} ${size}`}
      role="img"
      aria-label={label}
      shape-rendering="crispEdges"
    >
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  )
}
