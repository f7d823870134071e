//! Columns of the app's own types, with names taken that the expansions use.
#![deny(warnings)]
#![allow(dead_code, missing_docs, non_snake_case, unreachable_pub)]

mod shadow {
    pub struct Result;
    pub struct Option;
    pub struct String;
    pub struct Vec;
    pub struct Value;
    pub struct ToString;
    pub fn Ok() {}
    pub fn Err() {}
    pub fn Some() {}
    pub fn None() {}
    pub mod std {}
    pub mod core {}
    pub mod serde {}
    pub mod schemars {}
    pub mod sea_orm {}
}

mod app {
    #[allow(unused_imports)]
    use crate::shadow::*;
    use ::std::{option::Option as Maybe, string::String as Text};

    #[nizhal::id]
    pub struct r#Type(::std::string::String);
    /// Copied, since it is a number.
    #[nizhal::id]
    #[derive(Default)]
    pub(crate) struct Place(pub i64);
    #[nizhal::text_enum]
    #[derive(PartialOrd)]
    pub enum Status {
        /// Not done.
        Open,
        InProgress,
        #[nizhal(rename = "done")]
        r#Match,
        Result,
        None,
    }

    #[nizhal::table]
    pub struct Record {
        #[nizhal(primary_key)]
        pub id: r#Type,
        #[nizhal(generated = "lower(id)")]
        pub r#async: ::std::string::String,
        #[nizhal(default = "done")]
        pub status: Status,
        pub(crate) place: Maybe<Place>,
        pub text: Text,
        pub image: nizhal::BlobRef,
        #[nizhal(private)]
        pub original: Maybe<nizhal::BlobRef>,
        pub any: nizhal::Json,
        pub places: nizhal::Json<::std::vec::Vec<Place>>,
        pub tags: ::std::vec::Vec<::std::string::String>,
    }
}

mod rule {
    use super::app::{Record, Status, Type};

    #[nizhal::claims]
    pub struct Claims {
        pub user_id: String,
        pub owner_id: String,
        pub id: Type,
        pub status: Status,
    }

    nizhal::sync_rules! {
        pub rules for Claims;
        rule mine(id) {
            id = actor.id;
            Record where Record.id == id && Record.status != "in_progress";
        }
    }
}

#[test]
fn columns_hold_types_of_the_app() {
    use nizhal::TextEnum;
    #[nizhal::id]
    struct Local(nizhal::Uuid);
    #[nizhal::text_enum]
    enum Choice {
        Yes,
    }
    assert_eq!((Choice::Yes.text(), app::Status::TEXTS.len()), ("yes", 5));
    assert_eq!(Local(nizhal::Uuid::nil()).into_inner(), nizhal::Uuid::nil());
    let place: app::Place = "7".parse().unwrap();
    assert_eq!((place, place.to_string(), place.as_ref()), (app::Place(7), "7".to_owned(), &7));
    assert!(app::Status::of("match").is_err());
    assert_eq!(app::Status::of("done"), Ok(app::Status::r#Match));
    let record = nizhal::tables![app::Record][0];
    let names: Vec<_> = record.columns.iter().map(|column| column.name).collect();
    assert_eq!(names, ["id", "status", "place", "text", "image", "original", "any", "places", "tags", "async"]);
    assert_eq!((record.columns[9].generated, record.columns[1].texts[2]), (Some("lower(id)"), "done"));
    let blobs: Vec<_> = record.blob_columns().map(|column| (column.name, column.nullable)).collect();
    assert_eq!(blobs, [("image", false), ("original", true)]);
    assert_eq!(rule::rules().into_inner().len(), 1);
}
