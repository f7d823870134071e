// One page for both: the stage with two phones and the referee, and, in each phone's frame, the app.
import { createRoot } from 'react-dom/client'
import '../../../web/base.css'
import { App } from './app'
import { open } from './clinic'
import { Stage } from './stage'
import './style.css'

const who = new URLSearchParams(location.search).get('phone')
const root = createRoot(document.getElementById('root')!)
if (who) {
  document.body.className = 'phone-body'
  open(who).then(
    (clinic) => root.render(<App clinic={clinic} />),
    (error: unknown) => root.render(<p className="fault">{String(error)}</p>),
  )
} else {
  root.render(<Stage />)
}
