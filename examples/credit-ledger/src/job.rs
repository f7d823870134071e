//! What the server does by itself, later.

use crate::table::{Customer, LedgerEntry, LedgerEntryColumn, ReminderActive};
use nizhal::prelude::*;

/// What `sms-reminder` is told.
#[nizhal::args]
pub struct SmsReminder {
    /// The credit to remind of.
    pub entry_id: String,
}

/// Reminds a customer of a credit, when the customer still owes: the devices of the shop see the reminder and send it.
#[nizhal::job(name = "sms-reminder")]
pub async fn sms_reminder(ctx: &mut JobCtx, args: SmsReminder) -> Result<()> {
    let Some(entry) = LedgerEntry::find_by_id(&*args.entry_id).one(ctx.db()).await? else { return Ok(()) };
    // Who was taken off the list is sent nothing.
    let Some(customer) = Customer::find_by_id(&*entry.customer_id).one(ctx.db()).await? else { return Ok(()) };
    let of_customer = LedgerEntryColumn::CustomerId.eq(&*customer.id);
    let in_shop = LedgerEntryColumn::ShopId.eq(&*entry.shop_id);
    let entries = LedgerEntry::find().filter(of_customer).filter(in_shop).all(ctx.db()).await?;
    let balance = entries.iter().fold(Decimal::ZERO, |sum, entry| sum + entry.amount);
    if balance <= Decimal::ZERO {
        return Ok(());
    }
    ReminderActive {
        id: Set(ctx.new_id().to_string()),
        shop_id: Set(entry.shop_id),
        customer_id: Set(customer.id),
        entry_id: Set(entry.id),
        scheduled_at: Set(ctx.now()),
        created_at: Set(ctx.now()),
        ..Default::default()
    }
    .insert(ctx.db())
    .await?;
    Ok(())
}
