//! A variant of another enum.
#[path = "../../../app/mod.rs"]
mod app;
use app::*;
use nizhal::prelude::*;

#[nizhal::text_enum]
pub enum Status {
    Open,
    Done,
}

#[nizhal::table]
pub struct Ticket {
    #[nizhal(primary_key)]
    pub id: String,
    pub owner: String,
    pub status: Status,
}

#[nizhal::text_enum]
pub enum Color {
    Red,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Ticket where Ticket.owner == owner && Ticket.status != Color::Red;
    }
}

fn main() {}
