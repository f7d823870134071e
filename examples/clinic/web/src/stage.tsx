// Two phones with the referee between them, and what to try.
import { Frame } from '../../../web/frame'
import { Referee } from './referee'

export function Stage() {
  return (
    <main className="stage">
      <header>
        <p className="eyebrow">Nizhal · replay</p>
        <h1>Two phones, one appointment</h1>
        <p className="lead">
          Kamala and Nimal book for one clinic. Either may be without a network. Whoever booked first has the slot, and the fridge never owes a
          dose, whichever phone is heard first.
        </p>
      </header>
      <ol className="steps across">
        <li><b>Take Kamala off the network.</b> On her phone, book a slot.</li>
        <li><b>Book the same slot on Nimal’s phone.</b> The server applies it: it knows of nobody else.</li>
        <li><b>Put Kamala on again.</b> Her booking is the earlier one. The server rewinds, and Nimal’s phone says why it lost.</li>
      </ol>
      <div className="phones">
        <Frame who="kamala" />
        <Referee phones={['kamala', 'nimal']} />
        <Frame who="nimal" />
      </div>
    </main>
  )
}
