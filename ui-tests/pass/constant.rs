//! Constants in rules by their paths: variants of enums, `const`s, associated ones; and a private column beside the bucket.
#![deny(warnings)]
#![allow(missing_docs, unreachable_pub)]

#[allow(unused_imports)]
#[path = "../app/mod.rs"]
mod app;
use app::Claims;
use nizhal::{Condition, ConstValue, prelude::*};

mod status {
    #[nizhal::text_enum]
    pub enum Status {
        Open,
        #[nizhal(rename = "done")]
        Closed,
        Lost,
    }
}
use status::Status;

pub const MOST: i64 = 3;
const KIND: &str = "kind";

impl Ticket {
    const HIDDEN: bool = true;
}

#[nizhal::table]
pub struct Ticket {
    #[nizhal(primary_key)]
    pub id: String,
    pub owner: String,
    pub status: Status,
    pub before: Option<status::Status>,
    pub points: Option<i64>,
    pub kind: String,
    #[nizhal(private)]
    pub hidden: bool,
}

#[nizhal::table(server_only)]
pub struct Staff {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(private)]
    pub user_id: String,
    pub status: Status,
    pub owner: String,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner in Staff.owner
            where Staff.user_id == actor.user_id && (Staff.status == Status::Open || Staff.status == status::Status::Lost);
        Ticket where Ticket.owner == owner && Ticket.status == Status::Closed && Ticket.before != self::status::Status::Open
            && (Ticket.points == crate::MOST && Ticket.kind == "kind" || Ticket.kind != self::KIND)
            && Ticket.hidden != Ticket::HIDDEN;
    }
}

#[test]
fn constants_are_named_by_their_paths() {
    let rules = rules().into_inner();
    let filters = &rules[0].tables[0].filters;
    let compared: Vec<_> = filters.iter().flat_map(Condition::comparisons).collect();
    let values: Vec<&ConstValue> = compared.iter().map(|filter| &filter.value).collect();
    let text = ConstValue::Text;
    let wanted = [text("done"), text("open"), ConstValue::Int(3), text("kind"), text("kind"), ConstValue::Bool(true)];
    assert_eq!(values, wanted.iter().collect::<Vec<_>>());
    assert_eq!(
        compared.iter().map(|filter| filter.negated).collect::<Vec<_>>(),
        [false, true, false, false, true, true]
    );
}
