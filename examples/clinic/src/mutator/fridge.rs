//! Doses come in, and are reserved for patients.

use super::clinic_time;
use crate::claims::Claims;
use crate::table::{Dose, DoseActive, DoseColumn, Stock, StockActive};
use nizhal::Error;
use nizhal::prelude::*;

/// What `receiveDoses` takes.
#[nizhal::args]
pub struct ReceiveDoses {
    pub clinic_id: String,
    pub vaccine: NonEmpty,
    pub doses: i64,
}

/// The most doses of one delivery.
const MAX_DELIVERY: i64 = 10_000;

/// Puts a delivery into the fridge.
#[mutator(replay(my_clinics = args.clinic_id))]
pub async fn receive_doses(ctx: &mut Ctx<Claims>, args: ReceiveDoses) -> Result<Applied> {
    let ReceiveDoses { clinic_id, vaccine, doses } = args;
    if !(1..=MAX_DELIVERY).contains(&doses) {
        return Err(reject!("a delivery has 1 to {MAX_DELIVERY} doses, not {doses}"));
    }
    let vaccine = vaccine.into_inner();
    match Stock::find_by_id((clinic_id.clone(), vaccine.clone())).one(ctx.db()).await? {
        Some(stock) => {
            let more = Set(stock.doses + doses);
            StockActive { doses: more, ..stock.into() }.update(ctx.db()).await?;
        }
        None => {
            let stock = StockActive { clinic_id: Set(clinic_id), vaccine: Set(vaccine), doses: Set(doses) };
            stock.insert(ctx.db()).await?;
        }
    }
    Ok(Applied::done())
}

/// What `reserveDose` takes.
#[nizhal::args]
pub struct ReserveDose {
    /// The id of the dose, made by the device.
    pub client_id: Uuid,
    pub clinic_id: String,
    pub vaccine: String,
    pub patient: NonEmpty,
}

/// Reserves a dose in the fridge for a patient. There is never less than none.
#[mutator(replay(my_clinics = args.clinic_id))]
pub async fn reserve_dose(ctx: &mut Ctx<Claims>, args: ReserveDose) -> Result<Applied> {
    let ReserveDose { client_id: id, clinic_id, vaccine, patient } = args;
    if Dose::find_by_id(id).one(ctx.db()).await?.is_some() {
        return Err(reject!("a dose with this clientId is reserved already"));
    }
    let stock = Stock::find_by_id((clinic_id.clone(), vaccine.clone())).one(ctx.db()).await?;
    let Some(stock) = stock.filter(|stock| stock.doses > 0) else {
        return Err(none_left(ctx, &clinic_id, &vaccine).await?);
    };
    let left = Set(stock.doses - 1);
    StockActive { doses: left, ..stock.into() }.update(ctx.db()).await?;
    let (nurse, reserved_at) = (ctx.actor().name.clone(), ctx.now());
    DoseActive {
        id: Set(id),
        clinic_id: Set(clinic_id),
        vaccine: Set(vaccine),
        patient: Set(patient.into_inner()),
        nurse: Set(nurse),
        reserved_at: Set(reserved_at),
    }
    .insert(ctx.db())
    .await?;
    Ok(Applied::id(id.to_string()))
}

/// The refusal that says who took the last dose.
async fn none_left(ctx: &Ctx<Claims>, clinic_id: &str, vaccine: &str) -> Result<Error> {
    let reserved = Dose::find().filter(DoseColumn::ClinicId.eq(clinic_id)).filter(DoseColumn::Vaccine.eq(vaccine));
    // A select whose rows matter needs a whole order: two doses may be reserved in one millisecond.
    let last = reserved.order_by_desc(DoseColumn::ReservedAt).order_by_desc(DoseColumn::Id).one(ctx.db()).await?;
    Ok(match last {
        Some(Dose { nurse, reserved_at, .. }) => {
            let at = clinic_time(ctx, clinic_id, reserved_at).await?;
            reject!("no dose of {vaccine} is left: {nurse} reserved the last one at {at}")
        }
        None => reject!("there is no dose of {vaccine}"),
    })
}
