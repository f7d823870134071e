//! An offline-first backend for shops that give credit.

mod claims;
mod job;
mod mutator;
mod rule;
mod seed;
mod session;
mod table;

use mutator::{
    add_customer, delete_customer, record_credit, record_payment, update_customer_name, update_customer_phone,
};
use nizhal::prelude::*;
use table::{Customer, LedgerEntry, Reminder, Shop, ShopMember};

#[nizhal::main]
async fn main() -> nizhal::Result<()> {
    Nizhal::app("credit-ledger")
        .tables(tables![Customer, LedgerEntry, Reminder, Shop, ShopMember])
        .mutators(mutators![
            add_customer,
            record_credit,
            record_payment,
            update_customer_name,
            update_customer_phone,
            delete_customer,
        ])
        .jobs(jobs![job::sms_reminder])
        .rules(rule::ledger_rules())
        .seed(seed::seed)
        .dev_token("Kamala's phone", seed::kamala())
        .dev_token("Nimal's phone", seed::nimal())
        .banner(session::session)
        .run()
        .await
}
