//! Invariant 2: an id of another tenant's and an id of nobody's answer alike.

use super::world::{Claims, Customer, CustomerActive, CustomerColumn, World};
use crate::fixture::both;
use nizhal::{MutatorEntry, prelude::*};
use nizhal_tests::Kind;
use serde_json::json;

both![
    inv02_an_update_of_anothers_row_answers_as_one_of_nobodys,
    inv02_what_is_not_the_actors_is_not_there,
    inv02_a_query_of_a_table_that_is_not_synced_finds_nothing,
];

#[nizhal::args]
struct Rename {
    id: String,
    name: String,
}

/// By the ORM, of whatever row it is.
#[mutator]
async fn rename(ctx: &mut Ctx<Claims>, args: Rename) -> Result<Applied> {
    CustomerActive { id: Set(args.id), name: Set(args.name), ..Default::default() }.update(ctx.db()).await?;
    Ok(Applied::done())
}

/// As the book says.
#[mutator]
async fn rename_visible(ctx: &mut Ctx<Claims>, args: Rename) -> Result<Applied> {
    let Some(customer) = ctx.visible(Customer::find_by_id(args.id)).one(ctx.db()).await? else {
        return Err(reject!("there is no such customer"));
    };
    let mut customer: CustomerActive = customer.into();
    customer.name = Set(args.name);
    customer.update(ctx.db()).await?;
    Ok(Applied::done())
}

/// Several at once: how many it were is in the answer.
#[mutator]
async fn rename_many(ctx: &mut Ctx<Claims>, args: Rename) -> Result<Applied> {
    let of_id = ctx.visible(Customer::update_many()).filter(CustomerColumn::Id.eq(args.id));
    let renamed = of_id.col_expr(CustomerColumn::Name, args.name.into()).exec(ctx.db()).await?;
    Ok(Applied::id(renamed.rows_affected.to_string()))
}

#[mutator]
async fn drop_many(ctx: &mut Ctx<Claims>, args: Rename) -> Result<Applied> {
    let of_id = ctx.visible(Customer::delete_many()).filter(CustomerColumn::Id.eq(args.id));
    let dropped = of_id.exec(ctx.db()).await?;
    Ok(Applied::id(dropped.rows_affected.to_string()))
}

/// How many of each table the actor sees.
#[mutator]
async fn tally(ctx: &mut Ctx<Claims>, args: Rename) -> Result<Applied> {
    use super::world::{Note, RoomMember, ShopMember};
    let customers = ctx.visible(Customer::find()).all(ctx.db()).await?.len();
    let notes = ctx.visible(Note::find()).all(ctx.db()).await?.len();
    let rooms = ctx.visible(RoomMember::find()).all(ctx.db()).await?.len();
    let shops = ctx.visible(ShopMember::find()).all(ctx.db()).await?.len();
    Ok(Applied::id(format!("{} {customers} {notes} {rooms} {shops}", args.name)))
}

pub(super) fn mutators() -> Vec<MutatorEntry> {
    mutators![rename, rename_visible, rename_many, drop_many, tally]
}

async fn inv02_an_update_of_anothers_row_answers_as_one_of_nobodys(kind: Kind) {
    let world = World::new(kind).await;
    for id in ["c2", "nobody"] {
        assert_eq!(world.tried("rename", &json!({"id": id, "name": "x"})).await, "forbidden", "{id}");
    }
    assert_eq!(world.tried("rename", &json!({"id": "c1", "name": "x"})).await, "applied");
}

async fn inv02_what_is_not_the_actors_is_not_there(kind: Kind) {
    let mut world = World::new(kind).await;
    // It shows in no bucket while it is softly deleted.
    world
        .db
        .execute("insert into customers (id, shop_id, name, deleted_at) values ('c3', 's1', 'gone', current_timestamp)")
        .await;
    for id in ["c2", "c3", "nobody"] {
        let args = json!({"id": id, "name": "x"});
        assert_eq!(world.tried("renameVisible", &args).await, "rejected: there is no such customer", "{id}");
        assert_eq!(world.tried("renameMany", &args).await, "applied 0", "{id}");
        assert_eq!(world.tried("dropMany", &args).await, "applied 0", "{id}");
    }
    let own = json!({"id": "c1", "name": "x"});
    assert_eq!(world.tried("renameVisible", &own).await, "applied");
    assert_eq!(world.tried("renameMany", &own).await, "applied 1");
    assert_eq!(world.tried("tally", &own).await, "applied x 1 1 1 0");
    assert_eq!(world.tried("dropMany", &own).await, "applied 1");
    assert_eq!(world.db.count("customers where name = 'two'").await, 1);
}

async fn inv02_a_query_of_a_table_that_is_not_synced_finds_nothing(kind: Kind) {
    let mut world = World::new(kind).await;
    world.db.execute("insert into shop_members (shop_id, user_id) values ('s3', 'ann')").await;
    assert_eq!(world.tried("tally", &json!({"id": "", "name": "x"})).await, "applied x 1 1 1 0");
}
