//! A clinic that works offline: appointments with one winner each, and a stock of doses that never falls below zero.
//!
//! A library, so that the server, the tests and an app on a phone run the same mutators.

pub mod claims;
pub mod mutator;
pub mod rule;
mod seed;
mod session;
pub mod table;

use mutator::{book_slot, free_slot, receive_doses, reserve_dose};
use nizhal::prelude::*;
use nizhal::{MutatorEntry, TableDesc};
use table::{Clinic, Dose, Nurse, Slot, Stock};

/// The server's side of the app.
pub fn app() -> Nizhal {
    Nizhal::app("clinic")
        .tables(tables())
        .mutators(mutators())
        .rules(rule::clinic_rules())
        .seed(seed::seed)
        .dev_token("Kamala's phone", seed::kamala())
        .dev_token("Nimal's phone", seed::nimal())
        .banner(session::session)
}

/// All tables.
pub fn tables() -> Vec<&'static TableDesc> {
    tables![Clinic, Nurse, Slot, Stock, Dose]
}

/// All mutators.
pub fn mutators() -> Vec<MutatorEntry> {
    mutators![book_slot, free_slot, receive_doses, reserve_dose]
}
