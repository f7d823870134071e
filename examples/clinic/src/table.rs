//! The clinic's tables.

use nizhal::prelude::*;

/// A clinic. Merged by columns, as its name and its clock are tied to nothing else.
#[nizhal::table(name = "clinics", merge = "field")]
pub struct Clinic {
    #[nizhal(primary_key)]
    pub id: String,
    pub name: String,
    /// How far the clinic's clock is ahead of UTC, in minutes: 330 in Colombo.
    #[nizhal(default = 0)]
    pub utc_offset_minutes: i32,
}

/// Who works in which clinic.
#[nizhal::table(name = "nurses", server_only)]
pub struct Nurse {
    #[nizhal(primary_key)]
    pub clinic_id: String,
    #[nizhal(primary_key)]
    pub user_id: String,
}

/// A time of the day that one patient may have.
///
/// Two nurses who are offline may both give it away. Each row of theirs is sound by itself; that a slot has one patient ties the two
/// together, so the table is replayed: whoever booked first has the slot, whichever phone was heard first.
#[nizhal::table(name = "slots", merge = "replay")]
pub struct Slot {
    #[nizhal(primary_key)]
    pub clinic_id: String,
    /// `09:30`, by the clinic's clock.
    #[nizhal(primary_key)]
    pub time: String,
    pub patient: Option<String>,
    /// The nurse who booked it, by her user id …
    pub booked_by: Option<String>,
    /// … and by her name.
    pub nurse: Option<String>,
    pub booked_at: Option<DateTimeUtc>,
}

/// How many doses of a vaccine are in the fridge and nobody's: a fold over deliveries and reservations, which never falls below zero.
#[nizhal::table(name = "stock", merge = "replay")]
pub struct Stock {
    #[nizhal(primary_key)]
    pub clinic_id: String,
    #[nizhal(primary_key)]
    pub vaccine: String,
    pub doses: i64,
}

/// A dose that is reserved for a patient.
#[nizhal::table(name = "doses", merge = "replay")]
pub struct Dose {
    #[nizhal(primary_key)]
    pub id: Uuid,
    pub clinic_id: String,
    pub vaccine: String,
    pub patient: String,
    /// The name of the nurse who reserved it.
    pub nurse: String,
    pub reserved_at: DateTimeUtc,
}
