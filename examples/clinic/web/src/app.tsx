// The app on one phone: the morning's slots, the fridge, what was refused, and the panel that looks inside.
import { useLiveQuery } from '@tanstack/react-db'
import { useState } from 'react'
import { useStatus, useWrites } from '../../../web/phone'
import { Top } from '../../../web/top'
import type { Clinic } from './clinic'
import { Fridge } from './fridge'
import { News } from './news'
import { Panel } from './panel'
import { Slots } from './slots'

/** Who waits to be seen; the next one is proposed when one is done. */
const PATIENTS: Record<string, string[]> = { kamala: ['Arul', 'Devi', 'Ruwan', 'Meena'], nimal: ['Sunil', 'Fathima', 'Anula', 'Selvi'] }

export function App({ clinic }: { clinic: Clinic }) {
  const status = useStatus(clinic)
  const writes = useWrites(clinic)
  const { data: clinics } = useLiveQuery((q) => q.from({ c: clinic.clinics }))
  const ahead = clinics[0]?.utc_offset_minutes ?? 0
  const patients = PATIENTS[clinic.who] ?? ['Sunil']
  const [patient, setPatient] = useState(patients[0]!)
  const next = () => setPatient(patients[(patients.indexOf(patient) + 1) % patients.length]!)
  const shared = { clinic, writes, revised: status.revised, patient: patient.trim(), next }
  return (
    <div className="app">
      <Top phone={clinic} status={status} place="the clinic" />
      <div className="scroll">
        <News clinic={clinic} revised={status.revised} />
        <label className="patient">
          <span>For</span>
          <input value={patient} onChange={(event) => setPatient(event.target.value)} placeholder="Patient" aria-label="Patient" />
        </label>
        {clinics.length === 0 && <p className="empty">{status.lastSyncedAt ? 'No clinic is yours.' : 'Waiting for the first sync.'}</p>}
        <Slots {...shared} ahead={ahead} />
        <Fridge {...shared} />
      </div>
      <Panel clinic={clinic} status={status} writes={writes} />
    </div>
  )
}
