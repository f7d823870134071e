//! The ledger's tables, rules and mutators: what the server and a device in Rust share.

pub mod claims;
pub mod job;
pub mod mutator;
pub mod rule;
pub mod table;

use mutator::{
    add_customer, delete_customer, record_credit, record_payment, update_customer_name, update_customer_phone,
};
use nizhal::prelude::*;
use nizhal::{MutatorEntry, TableDesc};
use table::{Customer, LedgerEntry, Reminder, Shop, ShopMember};

/// All tables.
pub fn tables() -> Vec<&'static TableDesc> {
    tables![Customer, LedgerEntry, Reminder, Shop, ShopMember]
}

/// All mutators.
pub fn mutators() -> Vec<MutatorEntry> {
    mutators![add_customer, record_credit, record_payment, update_customer_name, update_customer_phone, delete_customer,]
}
