//! A private column that would name buckets.
#[path = "../../../app/mod.rs"]
mod app;
use app::*;
use nizhal::prelude::*;

#[nizhal::table]
pub struct Ticket {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(private)]
    pub owner: String,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Ticket where Ticket.owner == owner;
    }
}

fn main() {}
