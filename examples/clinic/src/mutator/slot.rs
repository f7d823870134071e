//! Slots are booked and given back.

use super::clinic_time;
use crate::claims::Claims;
use crate::table::{Slot, SlotActive};
use nizhal::prelude::*;

/// What `bookSlot` takes.
#[nizhal::args]
pub struct BookSlot {
    pub clinic_id: String,
    /// `09:30`, by the clinic's clock.
    pub time: String,
    pub patient: NonEmpty,
}

/// Gives a slot to a patient. The first who books has it.
#[mutator(replay(my_clinics = args.clinic_id))]
pub async fn book_slot(ctx: &mut Ctx<Claims>, args: BookSlot) -> Result<Applied> {
    let slot = slot(ctx, &args.clinic_id, &args.time).await?;
    if let Slot { nurse: Some(nurse), booked_at: Some(at), .. } = &slot {
        let at = clinic_time(ctx, &args.clinic_id, *at).await?;
        return Err(reject!("this slot was taken by {nurse} at {at}"));
    }
    let mut slot: SlotActive = slot.into();
    slot.patient = Set(Some(args.patient.into_inner()));
    slot.booked_by = Set(Some(ctx.actor().user_id.clone()));
    slot.nurse = Set(Some(ctx.actor().name.clone()));
    slot.booked_at = Set(Some(ctx.now()));
    slot.update(ctx.db()).await?;
    Ok(Applied::done())
}

/// What `freeSlot` takes.
#[nizhal::args]
pub struct FreeSlot {
    pub clinic_id: String,
    /// `09:30`, by the clinic's clock.
    pub time: String,
}

/// Gives a slot back. Only the nurse who booked it may.
#[mutator(replay(my_clinics = args.clinic_id))]
pub async fn free_slot(ctx: &mut Ctx<Claims>, args: FreeSlot) -> Result<Applied> {
    let slot = slot(ctx, &args.clinic_id, &args.time).await?;
    let (Some(booked_by), Some(nurse)) = (&slot.booked_by, &slot.nurse) else {
        return Err(reject!("this slot is free already"));
    };
    if *booked_by != ctx.actor().user_id {
        return Err(reject!("this slot is {nurse}'s to give back"));
    }
    let mut slot: SlotActive = slot.into();
    (slot.patient, slot.booked_by, slot.nurse, slot.booked_at) = (Set(None), Set(None), Set(None), Set(None));
    slot.update(ctx.db()).await?;
    Ok(Applied::done())
}

async fn slot(ctx: &Ctx<Claims>, clinic_id: &str, time: &str) -> Result<Slot> {
    let slot = Slot::find_by_id((clinic_id.to_owned(), time.to_owned())).one(ctx.db()).await?;
    slot.ok_or_else(|| reject!("the clinic has no slot at {time}"))
}
