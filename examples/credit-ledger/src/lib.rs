//! The ledger's tables, rules and mutators: what the server and a device in Rust share.

pub mod claims;
pub mod job;
pub mod mutator;
pub mod rule;
mod seed;
mod session;
pub mod table;

use mutator::{
    add_customer, delete_customer, record_credit, record_payment, update_customer_name, update_customer_phone,
};
use nizhal::prelude::*;
use nizhal::{MutatorEntry, TableDesc};
use table::{Customer, LedgerEntry, Reminder, Shop, ShopMember};

/// The server's side of the app.
pub fn app() -> Nizhal {
    Nizhal::app("credit-ledger")
        .tables(tables())
        .mutators(mutators())
        .jobs(jobs![job::sms_reminder])
        .rules(rule::ledger_rules())
        .seed(seed::seed)
        .dev_token("Kamala's phone", seed::kamala())
        .dev_token("Nimal's phone", seed::nimal())
        .banner(session::session)
}

/// All tables.
pub fn tables() -> Vec<&'static TableDesc> {
    tables![Customer, LedgerEntry, Reminder, Shop, ShopMember]
}

/// All mutators.
pub fn mutators() -> Vec<MutatorEntry> {
    mutators![add_customer, record_credit, record_payment, update_customer_name, update_customer_phone, delete_customer,]
}
