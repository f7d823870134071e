// A phone on the stage: the app in a frame of its own, and a button that reloads it.
import { useRef } from 'react'

export function Frame({ who }: { who: string }) {
  const frame = useRef<HTMLIFrameElement>(null)
  return (
    <section className="phone">
      <div className="bezel">
        <iframe ref={frame} title={who} src={`/?phone=${who}`} />
      </div>
      <button className="reload" data-testid={`reload-${who}`} onClick={() => frame.current?.contentWindow?.location.reload()}>
        ↻ Reload this phone
      </button>
    </section>
  )
}
