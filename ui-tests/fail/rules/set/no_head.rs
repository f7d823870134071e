//! Rules without their first line.

nizhal::sync_rules! {
    rule mine(owner) {
        owner = actor.owner_id;
    }
}

fn main() {}
