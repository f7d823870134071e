//! More comparisons than a condition may have.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id;
        Customer where Customer.shop_id == shop_id && (
            Customer.points == 0 || Customer.points == 1 || Customer.points == 2 || Customer.points == 3 || Customer.points == 4 || Customer.points == 5 || Customer.points == 6 || Customer.points == 7
            || Customer.points == 8 || Customer.points == 9 || Customer.points == 10 || Customer.points == 11 || Customer.points == 12 || Customer.points == 13 || Customer.points == 14 || Customer.points == 15
            || Customer.points == 16 || Customer.points == 17 || Customer.points == 18 || Customer.points == 19 || Customer.points == 20 || Customer.points == 21 || Customer.points == 22 || Customer.points == 23
            || Customer.points == 24 || Customer.points == 25 || Customer.points == 26 || Customer.points == 27 || Customer.points == 28 || Customer.points == 29 || Customer.points == 30 || Customer.points == 31
        );
    }
}

fn main() {}
