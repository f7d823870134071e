// What a mutation is about, in words.
import type { MutatorArgs } from './nizhal'

type Named = { [Name in keyof MutatorArgs]: { name: Name; args: MutatorArgs[Name] } }[keyof MutatorArgs]

/** `book 10:00 for Sunil`: for a phone, which speaks of its own. */
export function deedOf({ name, args }: { name: string; args: unknown }): string {
  const deed = { name, args } as Named
  switch (deed.name) {
    case 'bookSlot':
      return `book ${deed.args.time} for ${deed.args.patient}`
    case 'freeSlot':
      return `give ${deed.args.time} back`
    case 'receiveDoses':
      return `put ${deed.args.doses} × ${deed.args.vaccine} into the fridge`
    case 'reserveDose':
      return `reserve ${deed.args.vaccine} for ${deed.args.patient}`
  }
}

/** The one thing that two deeds may quarrel about: a slot or a vaccine. */
export function subjectOf({ name, args }: { name: string; args: unknown }): string {
  const deed = { name, args } as Named
  return 'time' in deed.args ? deed.args.time : deed.args.vaccine
}
