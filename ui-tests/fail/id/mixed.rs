//! The id of another table.
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

fn main() {
    let shop = ShopId::from("s1".to_owned());
    let _ = CustomerActive { id: Set(shop), ..Default::default() };
}
