//! Credit is given and payments are taken.

use super::customer;
use crate::claims::Claims;
use crate::job::{SmsReminder, sms_reminder};
use crate::table::{LedgerEntry, LedgerEntryActive};
use nizhal::prelude::*;

/// What `recordCredit` takes.
#[nizhal::args]
pub struct RecordCredit {
    /// The entry's id, made by the device.
    pub client_id: NonEmpty,
    pub customer_id: String,
    pub amount: Positive,
    pub reason: Option<String>,
    /// The number on the paper receipt.
    pub r#ref: Option<String>,
    /// When it happened; now, when left out.
    pub at: Option<DateTimeUtc>,
    /// When it is to be paid: the customer is reminded a day before and a day after; else a day from now.
    pub due_date: Option<DateTimeUtc>,
}

/// Writes down goods given on credit.
#[mutator]
pub async fn record_credit(ctx: &mut Ctx<Claims>, args: RecordCredit) -> Result<Applied> {
    let fact =
        Fact { amount: args.amount.into_inner(), reason: args.reason, reference: args.r#ref, photo: None, at: args.at };
    let entry = record(ctx, args.client_id, &args.customer_id, fact).await?;
    let day = TimeDelta::days(1);
    let times = match args.due_date {
        Some(due) => [due.checked_sub_signed(day), due.checked_add_signed(day)],
        None => [ctx.now().checked_add_signed(day), None],
    };
    for time in times.into_iter().flatten() {
        ctx.jobs().enqueue(sms_reminder, SmsReminder { entry_id: entry.id.clone() })?.at(time);
    }
    Ok(Applied::id(entry.id))
}

/// What `recordPayment` takes.
#[nizhal::args]
pub struct RecordPayment {
    /// The entry's id, made by the device.
    pub client_id: NonEmpty,
    pub customer_id: String,
    pub amount: Positive,
    pub reason: Option<String>,
    /// The number on the paper receipt.
    pub r#ref: Option<String>,
    /// A photo of the paper receipt, uploaded before.
    pub photo: Option<BlobRef>,
    /// When it happened; now, when left out.
    pub at: Option<DateTimeUtc>,
}

/// Writes down money that a customer paid.
#[mutator]
pub async fn record_payment(ctx: &mut Ctx<Claims>, args: RecordPayment) -> Result<Applied> {
    let RecordPayment { reason, r#ref: reference, photo, at, .. } = args;
    let fact = Fact { amount: -args.amount.into_inner(), reason, reference, photo, at };
    let entry = record(ctx, args.client_id, &args.customer_id, fact).await?;
    Ok(Applied::id(entry.id))
}

/// What is the same in both directions.
struct Fact {
    amount: Decimal,
    reason: Option<String>,
    reference: Option<String>,
    photo: Option<BlobRef>,
    at: Option<DateTimeUtc>,
}

async fn record(ctx: &Ctx<Claims>, id: NonEmpty, customer_id: &str, fact: Fact) -> Result<LedgerEntry> {
    let customer = customer(ctx, customer_id).await?;
    let id = id.into_inner();
    if LedgerEntry::find_by_id(&*id).one(ctx.db()).await?.is_some() {
        return Err(reject!("an entry with this clientId exists already"));
    }
    let entry = LedgerEntryActive {
        id: Set(id.clone()),
        shop_id: Set(customer.shop_id),
        customer_id: Set(customer.id),
        amount: Set(fact.amount),
        reason: Set(fact.reason),
        reference: Set(fact.reference),
        photo: Set(fact.photo),
        at: Set(fact.at.unwrap_or(ctx.now())),
        created_by: Set(ctx.actor().user_id.clone()),
        client_id: Set(Some(id)),
        created_at: Set(ctx.now()),
    };
    Ok(entry.insert(ctx.db()).await?)
}
