/** The console: a node of the overlay in a page. Puts the app on the page once storage is open. */
import { render } from 'preact'
import { Database } from './model/database.ts'
import { rendezvousOfPage } from './model/place.ts'
import { Session } from './model/session.ts'
import { loadSettings } from './model/settings.ts'
import { App } from './view/app.tsx'

const mark = document.querySelector<HTMLMetaElement>('meta[name="pilot-rendezvous"]')?.content ?? ''
const ownRendezvous = rendezvousOfPage(location.href, mark)
const remembered = loadSettings()
const settings = {
  ...remembered,
  rendezvous: ownRendezvous ?? remembered.rendezvous,
}
// Who follows a link to another rendezvous decides about joining there.
const isAtHome = settings.rendezvous === remembered.rendezvous
const session = new Session(settings, await Database.open())
if (settings.isJoined && isAtHome && isSecureContext)
  void session.join(settings, { keepTrying: true })
render(
  <App session={session} ownRendezvous={mark === 'self' ? ownRendezvous : undefined} />,
  document.getElementById('app')!,
)
