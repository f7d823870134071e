//! Customers come, change and go.

use super::{customer, shop_of};
use crate::claims::Claims;
use crate::table::{Customer, CustomerActive, Reminder, ReminderColumn};
use nizhal::prelude::*;

/// What `addCustomer` takes.
#[nizhal::args]
pub struct AddCustomer {
    /// The customer's id, made by the device.
    pub client_id: NonEmpty,
    pub name: NonEmpty,
    pub phone: Option<String>,
    pub note: Option<String>,
}

/// Adds a customer to the actor's shop.
#[mutator]
pub async fn add_customer(ctx: &mut Ctx<Claims>, args: AddCustomer) -> Result<Applied> {
    let id = args.client_id.into_inner();
    // Asked for, so that a second use of an id is refused for good instead of failing in the database for ever.
    if Customer::find_by_id(&*id).one(ctx.db()).await?.is_some() {
        return Err(reject!("a customer with this clientId exists already"));
    }
    CustomerActive {
        id: Set(id.clone()),
        shop_id: Set(shop_of(ctx.actor())?.to_owned()),
        name: Set(args.name.into_inner()),
        phone: Set(given(args.phone)),
        note: Set(given(args.note)),
        client_id: Set(Some(id.clone())),
        created_at: Set(ctx.now()),
    }
    .insert(ctx.db())
    .await?;
    Ok(Applied::id(id))
}

/// What `updateCustomerName` takes.
#[nizhal::args]
pub struct UpdateCustomerName {
    pub customer_id: String,
    pub value: NonEmpty,
}

/// Gives a customer another name.
#[mutator]
pub async fn update_customer_name(ctx: &mut Ctx<Claims>, args: UpdateCustomerName) -> Result<Applied> {
    let mut customer = customer(ctx, &args.customer_id).await?.into_active_model();
    customer.name = Set(args.value.into_inner());
    customer.update(ctx.db()).await?;
    Ok(Applied::done())
}

/// What `updateCustomerPhone` takes.
#[nizhal::args]
pub struct UpdateCustomerPhone {
    pub customer_id: String,
    /// The number; null or an empty text takes it away.
    pub value: Option<String>,
}

/// Gives a customer another telephone number, or none.
#[mutator]
pub async fn update_customer_phone(ctx: &mut Ctx<Claims>, args: UpdateCustomerPhone) -> Result<Applied> {
    let mut customer = customer(ctx, &args.customer_id).await?.into_active_model();
    customer.phone = Set(given(args.value));
    customer.update(ctx.db()).await?;
    Ok(Applied::done())
}

/// What `deleteCustomer` takes.
#[nizhal::args]
pub struct DeleteCustomer {
    pub customer_id: String,
}

/// Takes a customer out of the shop's list.
///
/// The ledger entries stay: they are facts about money, and the day's totals must not change because a name went.
/// Reminders that still wait go too, for nobody may be sent a message after they were taken off the list.
#[mutator]
pub async fn delete_customer(ctx: &mut Ctx<Claims>, args: DeleteCustomer) -> Result<Applied> {
    let customer = customer(ctx, &args.customer_id).await?;
    Reminder::delete_many()
        .filter(ReminderColumn::CustomerId.eq(&*customer.id))
        .filter(ReminderColumn::ShopId.eq(&*customer.shop_id))
        .filter(ReminderColumn::Status.eq("pending"))
        .exec(ctx.db())
        .await?;
    customer.delete(ctx.db()).await?;
    Ok(Applied::done())
}

/// An empty text is no text.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}
