//! An offline-first backend for shops that give credit.

mod seed;
mod session;

use credit_ledger::{job, mutators, rule::ledger_rules, tables};
use nizhal::prelude::*;

#[nizhal::main]
async fn main() -> nizhal::Result<()> {
    Nizhal::app("credit-ledger")
        .tables(tables())
        .mutators(mutators())
        .jobs(jobs![job::sms_reminder])
        .rules(ledger_rules())
        .seed(seed::seed)
        .dev_token("Kamala's phone", seed::kamala())
        .dev_token("Nimal's phone", seed::nimal())
        .banner(session::session)
        .run()
        .await
}
