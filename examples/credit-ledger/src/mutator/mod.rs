//! What devices may do. A mutator is one operation and one transaction; it runs on the device and on the server.

mod customer;
mod ledger;

pub use customer::*;
pub use ledger::{RecordCredit, RecordPayment, record_credit, record_payment};

use crate::claims::Claims;
use crate::table::{Customer, CustomerColumn};
use nizhal::prelude::*;

/// The shop that the actor works in now.
fn shop_of(actor: &Claims) -> Result<&str> {
    actor.shop_id.as_deref().ok_or_else(|| reject!("the token names no shop: sign in to one (claim shopId)"))
}

/// The customer of this id, when it is one of the actor's shop.
async fn customer(ctx: &Ctx<Claims>, id: &str) -> Result<Customer> {
    let found = Customer::find_by_id(id).filter(CustomerColumn::ShopId.eq(shop_of(ctx.actor())?)).one(ctx.db()).await?;
    found.ok_or_else(|| reject!("customer not found in the actor's shop"))
}
