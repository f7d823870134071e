//! Lists on Postgres, whose type says neither how many dimensions an array has nor that it has no NULLs.

use super::{Claims, device, pull};
use crate::fixture::engine;
use nizhal::prelude::*;
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Database, Kind};

#[nizhal::table(name = "lists")]
struct List {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    numbers: Vec<i32>,
}

sync_rules! {
    rules for Claims;
    rule mine(owner) { owner = actor.user_id; List where List.owner == owner; }
}

#[tokio::test]
async fn inv30_an_array_that_is_no_list_keeps_its_row_from_devices() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    let schema = Schema::new(tables![List], rules().into_inner(), mutators![]).expect("a sound schema");
    let engine = engine(&database, schema).await;
    db.execute(
        "insert into lists (id, owner, numbers) values ('flat', 'ann', '{1,2}'), ('none', 'ann', '{}'), ('from 0', 'ann', '[0:1]={3,4}'), \
         ('deep', 'ann', '{{1,2},{3,4}}'), ('holed', 'ann', '{1,null}')",
    )
    .await;
    let mut device = device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("lists"), ["flat", "from 0", "none"]);
    db.execute("update lists set numbers = '{5}' where id in ('deep', 'holed')").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("lists"), ["deep", "flat", "from 0", "holed", "none"]);
}
