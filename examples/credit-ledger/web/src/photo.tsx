// A receipt's photo: taken on this phone, or shown from wherever its bytes are.
import type { BlobRef } from '@nizhal/db-collection'
import { useEffect, useState } from 'react'
import type { Ledger } from './ledger'

/** Chooses a photo, or takes one; it is kept on this phone at once. */
export function TakePhoto({ ledger, photo, onPhoto }: { ledger: Ledger; photo: BlobRef | undefined; onPhoto(photo: BlobRef | undefined): void }) {
  const [fault, setFault] = useState<string>()
  const take = async (file: File | undefined) => {
    if (!file) return
    setFault(undefined)
    try {
      onPhoto(await ledger.blobs.add(file, { bucket: ledger.bucket }))
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error))
    }
  }
  const drop = (blob: BlobRef) => {
    onPhoto(undefined)
    void ledger.blobs.discard(blob)
  }
  if (photo) {
    return (
      <div className="taken" data-testid="taken">
        <Photo ledger={ledger} photo={photo} />
        <small>goes with the payment</small>
        <button type="button" className="plain danger" onClick={() => drop(photo)}>Leave it out</button>
      </div>
    )
  }
  return (
    <label className="camera">
      <input type="file" accept="image/*" capture="environment" aria-label="Photo of the receipt" onChange={({ target }) => (void take(target.files?.[0]), (target.value = ''))} />
      <span>+ Photo of the receipt</span>
      {fault && <small role="alert">{fault}</small>}
    </label>
  )
}

/** Shows a photo; a phone that does not have its bytes yet says so, and looks again when it hears from the server. */
export function Photo({ ledger, photo }: { ledger: Ledger; photo: BlobRef }) {
  const [url, setUrl] = useState<string>()
  const [tries, setTries] = useState(0)
  const [large, setLarge] = useState(false)
  const { blobs, client } = ledger
  useEffect(() => {
    let [taken, over] = ['', false]
    blobs.url(photo).then(
      (url) => (over ? blobs.release(url) : ((taken = url), setUrl(url))),
      () => !over && setUrl(undefined),
    )
    return () => {
      over = true
      if (taken) blobs.release(taken)
    }
  }, [blobs, photo.sha256, tries])
  useEffect(() => (url ? undefined : client.onStatus(() => setTries((tries) => tries + 1))), [client, url])
  if (!url) return <span className="photo" title="The photo is not on this phone yet">…</span>
  return (
    <button type="button" className={large ? 'photo large' : 'photo'} onClick={() => setLarge(!large)} aria-label={large ? 'Show it small' : 'Show the receipt'}>
      <img src={url} alt="The receipt" data-testid="photo" />
    </button>
  )
}
