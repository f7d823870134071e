//! Users whose ids name one person in a tenant alone, and rules that go by the user without the tenant.

use nizhal::prelude::*;

#[nizhal::claims(users = "per_owner")]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "members", server_only)]
struct Member {
    #[nizhal(primary_key)]
    shop_id: String,
    #[nizhal(primary_key)]
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "items")]
struct Item {
    #[nizhal(primary_key)]
    id: String,
    shop_id: String,
    user_id: String,
    owner_id: String,
}

sync_rules! {
    rules for Claims;

    rule shops(shop) {
        shop in Member.shop_id where Member.user_id == actor.user_id;
        Item where Item.shop_id == shop;
    }

    rule mine(user) {
        user = actor.user_id;
        Item where Item.user_id == user;
    }

    rule told_apart(shop) {
        shop in Member.shop_id where Member.user_id == actor.user_id && Member.owner_id == actor.owner_id;
        Item where Item.shop_id == shop;
    }

    rule of_both(owner, user) {
        owner = actor.owner_id;
        user = actor.user_id;
        Item where Item.owner_id == owner && Item.user_id == user;
    }
}

fn main() {}
