// Two phones side by side, and what to try with them.
import { Frame } from '../../../web/frame'

export function Stage() {
  return (
    <main className="stage">
      <header>
        <p className="eyebrow">Nizhal · offline-first</p>
        <h1>Two phones, one ledger</h1>
        <p className="lead">
          Kamala and Nimal run one shop that sells on credit. Each phone has its own database, in this browser. Writes land there first, so they
          never wait for a network; the server has the last word once it can be reached.
        </p>
      </header>
      <div className="phones">
        <Frame who="kamala" />
        <ol className="steps">
          <li><b>Switch both phones off the network.</b> Nothing stops working.</li>
          <li><b>Write on each:</b> a credit here, a payment with a photo of its receipt there, a new customer.</li>
          <li><b>Reload one</b> while it is offline. Everything is still there.</li>
          <li><b>Switch them on.</b> Both end up the same, to the cent: a balance is a sum of entries, so nobody overwrites anybody.</li>
          <li><b>Make them disagree:</b> offline, remove a customer on one phone and take a payment from her on the other. The server refuses it, and says why.</li>
        </ol>
        <Frame who="nimal" />
      </div>
    </main>
  )
}
