//! A bucket of shops, scoped by the id of a customer.
use nizhal::prelude::*;

#[nizhal::id]
pub struct ShopId(String);
#[nizhal::id]
pub struct CustomerId(String);

#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: CustomerId,
    pub shop: ShopId,
}

#[nizhal::claims]
pub struct Claims {
    pub user_id: String,
    pub owner_id: String,
    pub shop: ShopId,
}

sync_rules! {
    rules for Claims;
    rule mine(shop) {
        shop = actor.shop;
        Customer where Customer.id == shop;
    }
}

fn main() {}
