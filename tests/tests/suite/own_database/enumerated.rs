//! Columns of an enum type of Postgres' own: named at the start, whether they may be NULL or not.

use super::Claims;
use crate::fixture::store;
use nizhal::prelude::*;
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Database, Kind};
use std::sync::Arc;

#[nizhal::text_enum]
enum Mood {
    Good,
    Bad,
}

#[nizhal::table(name = "diaries")]
struct Diary {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    mood: Mood,
    before: Option<Mood>,
    word: Option<String>,
}

sync_rules! {
    diary_rules for Claims;
    rule mine(owner) { owner = actor.user_id; Diary where Diary.owner == owner; }
}

#[tokio::test]
async fn inv40_an_enum_type_of_postgres_is_named() {
    let database = Database::new(Kind::Postgres).await;
    database
        .connect()
        .await
        .execute(
            "create type mood as enum ('good', 'bad'); create domain moods as mood; create table diaries (id text primary key, \
             owner text not null, mood mood not null, before mood, word moods)",
        )
        .await;
    let schema = Schema::new(tables![Diary], diary_rules().into_inner(), Vec::new()).expect("a sound schema");
    let told = store(&database, &Arc::new(schema), 2).await.plan().await.expect_err("refused").to_string();
    for (column, shown) in [("mood", "mood"), ("before", "mood"), ("word", "moods")] {
        let wanted = format!("column `{column}` is of type {shown}, and declared as text");
        assert!(told.contains(&wanted), "{wanted}: {told}");
        let run = format!("alter column \"{column}\" type text");
        assert!(told.contains(&run), "{run}: {told}");
    }
}
