//! Who may see what.

use crate::claims::Claims;
use crate::table::{Clinic, Dose, Nurse, Slot, Stock};
use nizhal::prelude::*;

sync_rules! {
    pub clinic_rules for Claims;

    /// Everything of a clinic, for those who work there. Each of its buckets is also a space: an order of what was done in one clinic.
    rule my_clinics(clinic_id) {
        clinic_id in Nurse.clinic_id where Nurse.user_id == actor.user_id;

        Clinic where Clinic.id == clinic_id;
        Slot where Slot.clinic_id == clinic_id;
        Stock where Stock.clinic_id == clinic_id;
        Dose where Dose.clinic_id == clinic_id;
    }
}
