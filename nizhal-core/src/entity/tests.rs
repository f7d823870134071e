//! What `#[nizhal::table]` and `sync_rules!` write, written by hand.
use crate::{Actor, ColumnDefault, Merge, ParamSource, Principal, Rules, ScopeValue, SyncedTable, Table};
use sea_orm::{ActiveModelTrait, ActiveValue, DbBackend, EntityTrait, QueryFilter, QueryTrait, Set};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Customer {
    id: String,
    shop_id: String,
    phone: Option<String>,
    created_at: crate::DateTimeUtc,
    shout: String,
}
crate::__entity! {
    model: pub(crate) Customer,
    entity: CustomerEntity,
    column: CustomerColumn,
    key: CustomerKey,
    active: CustomerActive,
    handles: CustomerColumns,
    table: { name: "customers", merge: Merge::Field, server_only: false, doc: "" },
    key_type: String,
    key_columns: [Id],
    columns: [
        id: String = { variant: Id, name: "id" },
        shop_id: String = { variant: ShopId, name: "shop_id" },
        phone: Option<String> = { variant: Phone, name: "phone" },
        created_at: crate::DateTimeUtc = { variant: CreatedAt, name: "created_at", default: Some(ColumnDefault::Now) },
    ],
    generated: [shout: String = { variant: Shout, name: "shout", sql: "upper(id)" }],
}
impl SyncedTable for Customer {}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShopMember {
    shop_id: String,
    user_id: String,
}
crate::__entity! {
    model: pub(crate) ShopMember,
    entity: ShopMemberEntity,
    column: ShopMemberColumn,
    key: ShopMemberKey,
    active: ShopMemberActive,
    handles: ShopMemberColumns,
    table: { name: "shop_members", merge: Merge::Lww, server_only: true, doc: "" },
    key_type: (String, String),
    key_columns: [ShopId, UserId],
    columns: [
        shop_id: String = { variant: ShopId, name: "shop_id" },
        user_id: String = { variant: UserId, name: "user_id" },
    ],
    generated: [],
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Claims {
    user_id: String,
    owner_id: String,
}
impl Actor for Claims {
    fn user_id(&self) -> &str {
        &self.user_id
    }
    fn owner_id(&self) -> &str {
        &self.owner_id
    }
}

#[test]
fn plain_sea_orm_queries_run_on_it() {
    let sql = Customer::find_by_id("c1".to_owned()).build(DbBackend::Postgres).to_string();
    assert!(sql.ends_with(r#"FROM "customers" WHERE "customers"."id" = 'c1'"#), "{sql}");
    let sql = ShopMember::find_by_id(("s".to_owned(), "u".to_owned())).build(DbBackend::Sqlite).to_string();
    assert!(sql.ends_with(r#"WHERE "shop_members"."shop_id" = 's' AND "shop_members"."user_id" = 'u'"#), "{sql}");
    let active = CustomerActive { id: Set("c1".to_owned()), ..Default::default() };
    let sql = CustomerEntity::insert(active.clone()).build(DbBackend::Postgres).to_string();
    assert_eq!(sql, r#"INSERT INTO "customers" ("id") VALUES ('c1')"#);
    assert_eq!(active.get(CustomerColumn::Phone), ActiveValue::NotSet);
    let mut active = active;
    let error = active.try_set(CustomerColumn::Shout, "X".into()).unwrap_err().to_string();
    assert!(error.contains("the database generates `shout`"), "{error}");
    let sql = Customer::delete_many()
        .filter(sea_orm::ColumnTrait::eq(&CustomerColumn::ShopId, "s"))
        .build(DbBackend::Postgres)
        .to_string();
    assert_eq!(sql, r#"DELETE FROM "customers" WHERE "customers"."shop_id" = 's'"#);
}

#[test]
#[should_panic(expected = "a CRDT column cannot be unique")]
fn an_alias_does_not_hide_a_unique_document() {
    const COLUMN: crate::ColumnDesc =
        crate::ColumnDesc { crdt: Some(crate::Crdt::Text), unique: true, ..*Customer::DESC.columns.first().unwrap() };
    super::check(&[COLUMN], &[], &[]);
}

#[test]
#[should_panic(expected = "cannot be part of the primary key")]
fn inv40_an_alias_does_not_hide_a_key_without_a_text() {
    super::check(&[crate::ColumnDesc::of::<f64>("weight")], &[crate::ColumnIndex::new(0)], &[]);
}

#[test]
#[should_panic(expected = "the default is none of the enum's texts")]
fn a_default_is_one_of_the_enums_texts() {
    let column = |default| crate::ColumnDesc {
        texts: &["open", "closed"],
        default: Some(ColumnDefault::Text(default)),
        ..crate::ColumnDesc::of::<String>("status")
    };
    let check = |default| super::check(&[column(default)], &[], &[]);
    check("closed");
    check("close");
}

#[test]
fn descriptions_and_rules_are_data() {
    assert_eq!(Customer::DESC.key_columns().map(|column| column.name).collect::<Vec<_>>(), ["id"]);
    assert!(Customer::DESC.column("phone").unwrap().nullable);
    let rules = Rules::<Claims>::new().rule("myShops", "", |rule| {
        let shop_id = rule.member("shop_id", ShopMember::COLS.shop_id, |member| {
            member.actor(ShopMember::COLS.user_id, |actor: &Claims| &actor.user_id);
        });
        rule.table::<Customer>(|table| table.scope(Customer::COLS.shop_id, &shop_id));
    });
    let rules = rules.into_inner();
    assert_eq!(rules[0].tables[0].scope, [Customer::COLS.shop_id.index()]);
    let ParamSource::Member { filters, .. } = &rules[0].params[0].source else { panic!() };
    let crate::MemberFilter::Claim { claim, .. } = &filters[0] else { panic!() };
    let actor = Claims { user_id: "u".into(), owner_id: "o".into() };
    assert_eq!(claim.get(&Principal::new(actor, None)), Some(ScopeValue::Text("u".into())));
}
