//! Everything that rules may say.
#![deny(warnings)]
#![allow(missing_docs, unreachable_pub)]

#[allow(unused_imports)]
#[path = "../app/mod.rs"]
mod app;
use app::{Claims, Customer, ShopMember};
use nizhal::prelude::*;

#[nizhal::table(name = "products")]
pub struct Product {
    #[nizhal(primary_key)]
    pub id: String,
    pub shop_id: String,
    pub r#type: Option<String>,
    pub updated_at: DateTimeUtc,
    #[nizhal(private)]
    pub margin: i64,
}

#[nizhal::table(name = "countries")]
pub struct Country {
    #[nizhal(primary_key)]
    pub code: String,
}

#[nizhal::table(name = "visits")]
pub struct Visit {
    #[nizhal(primary_key)]
    pub at: i64,
    pub shop_id: String,
}

sync_rules! {
    pub rules for Claims;

    /// Constants joined by `||`, beside the bucket.
    #[max_buckets = 200]
    #[priority = 1]
    #[on_demand(ttl = "30m")]
    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id
            where (ShopMember.role == "owner" || ShopMember.role == "clerk") && ShopMember.user_id == actor.user_id;
        Customer where Customer.shop_id == shop_id && (Customer.hidden == false || Customer.points != 0 && Customer.phone == "1");
    }

    /// The bucket in every branch.
    rule in_each(shop, r#type) {
        r#type = actor.owner_id;
        shop in ShopMember.shop_id
            where ShopMember.user_id == actor.user_id && ShopMember.role == "owner"
                || ShopMember.user_id == actor.user_id && ShopMember.role == "clerk";
        Visit where Visit.shop_id == shop && (Visit.shop_id == r#type && Visit.at == 1 || Visit.shop_id == r#type && Visit.at == 2);
    }

    /// A claim that may be absent.
    rule device(shop) {
        shop = actor.shop_id?;
        Product { id, shop_id, r#type } where Product.shop_id == shop;
    }

    rule member_of_device(shop) {
        shop in ShopMember.shop_id where ShopMember.shop_id == actor.shop_id? && ShopMember.user_id == actor.user_id;
        Product { shop_id, r#type, id } where Product.shop_id == shop;
    }

    /// Everybody's.
    public rule catalog() {
        Country;
        Product { r#type, id, shop_id } where Product.r#type == "listed";
    }
}

#[test]
fn rules_are_described() {
    let rules = rules().into_inner();
    assert_eq!((rules[0].max_buckets, rules[0].public), (Some(200), false));
    assert_eq!((rules[0].priority, rules[0].on_demand.map(|on_demand| on_demand.ttl_s)), (1, Some(1_800)));
    assert_eq!((rules[1].priority, rules[1].on_demand.is_none()), (128, true));
    assert_eq!((rules[4].max_buckets, rules[4].public, rules[4].params.len()), (None, true, 0));
    assert_eq!(rules[1].tables[0].scope, [1, 1].map(nizhal::ColumnIndex::new));
    assert_eq!(rules[1].tables[0].filters.len(), 1);
    let product = rules[2].tables[0].table;
    let shown: Vec<&str> = product.columns.iter().filter(|column| !column.private).map(|column| column.name).collect();
    assert_eq!(shown, ["id", "shop_id", "type", "updated_at"]);
}
