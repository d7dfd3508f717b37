/** The console: a node of the overlay in a page. Puts the app on the page once storage is open. */
import { render } from 'preact'
import { Database } from './model/database.ts'
import { namedRendezvous, ownRendezvous } from './model/place.ts'
import { Session } from './model/session.ts'
import { loadSettings } from './model/settings.ts'
import { App } from './view/app.tsx'

const mark = document.querySelector<HTMLMetaElement>('meta[name="pilot-rendezvous"]')?.content ?? ''
const own = ownRendezvous(location.href, mark)
const named = namedRendezvous(location.href) ?? own
const remembered = loadSettings()
const settings = {
  ...remembered,
  rendezvous: named ?? remembered.rendezvous,
}
// Who follows a link to another rendezvous decides about joining there.
const isAtHome = settings.rendezvous === remembered.rendezvous
const session = new Session(settings, await Database.open())
// A file that misses its place must not take the page, and the node with it, away.
for (const type of ['dragover', 'drop']) addEventListener(type, (event) => event.preventDefault())
if (settings.isJoined && isAtHome && isSecureContext)
  void session.join(settings, { keepTrying: true })
render(
  <App session={session} ownRendezvous={named === own ? own : undefined} />,
  document.getElementById('app')!,
)
