//! Names that the expansions use, taken by the user.
#![deny(warnings)]
#![allow(dead_code, missing_docs, non_snake_case, unreachable_pub)]

mod shadow {
    pub struct Result;
    pub struct Option;
    pub struct String;
    pub struct Vec;
    pub struct Box;
    pub struct Value;
    pub struct ActiveValue;
    pub struct Some;
    pub struct None;
    pub fn Ok() {}
    pub fn Err() {}
    pub mod std {}
    pub mod core {}
    pub mod serde {}
    pub mod sea_orm {}
}

mod app {
    #[allow(unused_imports)]
    use crate::shadow::*;
    use ::std::{option::Option as Maybe, string::String as Text};
    use nizhal::{Applied, Ctx, Json as Payload};

    #[nizhal::table]
    pub struct Record {
        #[nizhal(primary_key)]
        pub id: Text,
        #[nizhal(default = "x")]
        pub r#type: Text,
        pub self_: Maybe<Text>,
        pub rule: Text,
        pub value: Payload,
    }

    #[nizhal::claims]
    pub struct r#Claims {
        pub user_id: ::std::string::String,
        pub owner_id: ::std::string::String,
    }

    #[nizhal::args]
    pub struct NoArgs {}

    #[nizhal::mutator]
    pub async fn r#move(_: &mut Ctx<Claims>, NoArgs {}: NoArgs) -> nizhal::Result<Applied> {
        ::std::result::Result::Ok(Applied::done())
    }

    pub fn work() {}

    #[nizhal::job(name = "a-job", attempts = 3)]
    pub async fn r#async(ctx: &mut nizhal::JobCtx, NoArgs {}: NoArgs) -> nizhal::Result<()> {
        work();
        ctx.jobs().enqueue(r#async, NoArgs {})?.unique("next");
        ::std::result::Result::Ok(())
    }

    nizhal::sync_rules! {
        pub(crate) rules for Claims;
        rule r#type(rule) {
            rule = actor.user_id;
            Record where Record.rule == rule && Record.r#type == "x";
        }
    }
}

// A table whose name is one that the expansion uses.
#[nizhal::table]
struct Value {
    #[nizhal(primary_key)]
    id: i64,
    value: Option<Vec<u8>>,
}

#[test]
fn names_that_the_expansions_use_may_be_taken() {
    #[nizhal::table(server_only)]
    struct Local {
        #[nizhal(primary_key)]
        id: nizhal::Uuid,
    }
    #[nizhal::args]
    enum Choice {
        One,
        Two { some_name: Option<i64> },
    }
    mod inner {
        use super::app::{Claims, Record};
        nizhal::sync_rules! {
            pub(super) nested for Claims;
            rule mine(id) { id = actor.user_id; Record where Record.id == id; }
        }
    }
    assert_eq!(inner::nested().into_inner().len(), 1);
    assert_eq!(app::rules().into_inner()[0].name, "type");
    let tables = nizhal::tables![app::Record, Value, Local];
    assert_eq!(tables[0].name, "record");
    assert_eq!(tables[0].columns[1].name, "type");
    assert_eq!(nizhal::mutators![app::r#move][0].desc.name, "move");
    let jobs = nizhal::jobs![app::r#async];
    assert_eq!((jobs[0].desc.name, jobs[0].desc.attempts), ("a-job", 3));
    let choice: Choice = nizhal::__private::serde_json::from_str(r#"{"two":{"someName":1}}"#).unwrap();
    assert!(matches!(choice, Choice::Two { some_name: Some(1) }));
}
