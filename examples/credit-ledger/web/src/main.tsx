// One page for both: the stage with two phones on it, and, in each phone's frame, the app.
import { createRoot } from 'react-dom/client'
import '../../../web/base.css'
import { App } from './app'
import { open } from './ledger'
import { Stage } from './stage'
import './style.css'

const who = new URLSearchParams(location.search).get('phone')
const root = createRoot(document.getElementById('root')!)
if (who) {
  document.body.className = 'phone-body'
  open(who).then(
    (ledger) => root.render(<App ledger={ledger} />),
    (error: unknown) => root.render(<p className="fault">{String(error)}</p>),
  )
} else {
  root.render(<Stage />)
}
