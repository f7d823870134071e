//! What a development start finds in an empty database: one clinic, its two nurses, a morning of free slots and a few doses.

use crate::claims::Claims;
use crate::table::{Clinic, ClinicActive, NurseActive, SlotActive, StockActive};
use nizhal::prelude::*;
use sea_orm::{ConnectionTrait, DbBackend};

const CLINIC: &str = "clinic-1";
const SLOTS: [&str; 6] = ["09:00", "09:20", "09:40", "10:00", "10:20", "10:40"];
/// How far clocks in Sri Lanka are ahead of UTC, in minutes.
const COLOMBO_OFFSET_MINUTES: i32 = 330;

/// One nurse.
pub fn kamala() -> Claims {
    nurse("kamala", "Kamala")
}

/// The other.
pub fn nimal() -> Claims {
    nurse("nimal", "Nimal")
}

fn nurse(user_id: &str, name: &str) -> Claims {
    Claims { user_id: user_id.to_owned(), owner_id: "service-1".to_owned(), name: name.to_owned() }
}

/// Fills an empty database; leaves any other alone.
pub async fn seed(db: &sea_orm::DatabaseTransaction) -> Result<()> {
    if Clinic::find().one(db).await?.is_some() {
        return Ok(());
    }
    let clinic_id = || Set(CLINIC.to_owned());
    ClinicActive {
        id: clinic_id(),
        name: Set("Galle Road Clinic".to_owned()),
        utc_offset_minutes: Set(COLOMBO_OFFSET_MINUTES),
    }
    .insert(db)
    .await?;
    for nurse in [kamala(), nimal()] {
        NurseActive { clinic_id: clinic_id(), user_id: Set(nurse.user_id) }.insert(db).await?;
    }
    checkpoint(db, true).await?;
    for time in SLOTS {
        SlotActive { clinic_id: clinic_id(), time: Set(time.to_owned()), ..Default::default() }.insert(db).await?;
    }
    for (vaccine, doses) in [("measles", 1), ("polio", 4)] {
        StockActive { clinic_id: clinic_id(), vaccine: Set(vaccine.to_owned()), doses: Set(doses) }.insert(db).await?;
    }
    checkpoint(db, false).await
}

/// Lets this transaction write replayed tables, which only replayed mutators may otherwise: nothing is taken back to before it.
async fn checkpoint(db: &sea_orm::DatabaseTransaction, on: bool) -> Result<()> {
    let sql = match (db.get_database_backend(), on) {
        (DbBackend::Postgres, true) => "set local nizhal.checkpoint = on",
        (DbBackend::Postgres, false) => "set local nizhal.checkpoint = off",
        (_, true) => "update _nizhal_replay set checkpoint = 1",
        (_, false) => "update _nizhal_replay set checkpoint = 0",
    };
    db.execute_unprepared(sql).await?;
    Ok(())
}
