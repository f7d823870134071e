//! A membership through a private column, whose values would name buckets.
#[path = "../../../app/mod.rs"]
mod app;
use app::*;
use nizhal::prelude::*;

#[nizhal::table(server_only)]
pub struct Staff {
    #[nizhal(primary_key)]
    pub user_id: String,
    #[nizhal(private)]
    pub shop_id: String,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner in Staff.shop_id where Staff.user_id == actor.user_id;
        Customer where Customer.shop_id == owner;
    }
}

fn main() {}
