//! The till in thousands of disasters.

use nizhal::{MutatorEntry, Rules, TableDesc, mutators, tables};
use nizhal_sim::{App, Effect};
use point_of_sale::claims::Claims;
use point_of_sale::mutator::{add_product, count_stock, receive_stock, refund, sell, set_price};
use point_of_sale::rule::till_rules;
use point_of_sale::table::{Product, Sale, SaleLine, Staff, StockMovement, TillKeeper};

struct Till;

impl App for Till {
    type Claims = Claims;

    fn tables(&self) -> Vec<&'static TableDesc> {
        tables![Product, Sale, SaleLine, Staff, StockMovement, TillKeeper]
    }
    fn mutators(&self) -> Vec<MutatorEntry> {
        mutators![add_product, set_price, receive_stock, count_stock, sell, refund]
    }
    fn rules(&self) -> Rules<Claims> {
        till_rules()
    }
    fn users(&self) -> Vec<Claims> {
        ["meena", "ravi"].map(|user| Claims { user_id: user.to_owned(), owner_id: "company-1".to_owned() }).into()
    }
    fn hostile(&self) -> Option<Claims> {
        Some(Claims { user_id: "eve".to_owned(), owner_id: "company-2".to_owned() })
    }
    fn seed(&self) -> Vec<String> {
        [
            "insert into staff (shop_id, user_id) values ('s1', 'meena'), ('s2', 'meena'), ('s1', 'ravi'), ('s3', 'eve')",
            "insert into till_keepers (till_id, user_id) values ('t1', 'meena'), ('t2', 'meena'), ('t2', 'ravi'), ('t3', 'eve')",
            "insert into products (id, shop_id, name, price) \
             values ('tea', 's1', 'Tea', '450'), ('rice', 's1', 'Rice', '280'), ('soap', 's2', 'Soap', '190'), ('ink', 's3', 'Ink', '90')",
            "insert into sales (id, shop_id, till_id, total, at, by) \
             values ('old', 's1', 't2', '450', '2026-01-01T00:00:00+00:00', 'ravi')",
        ]
        .map(str::to_owned)
        .into()
    }
    fn effect(&self, mutator: &str, args: &serde_json::Value) -> Option<Effect> {
        let id = args["clientId"].as_str().filter(|_| mutator == "sell")?;
        let lines = args["lines"].as_array()?.len();
        // The sale and all its lines, or nothing of it.
        let count = format!(
            "select (select count(*) from sales where id = '{id}' and id <> 'old') * \
             ((select count(*) from sale_lines where sale_id = '{id}') = {lines})"
        );
        Some(Effect { count, always: false })
    }
    fn untouched(&self) -> Vec<&'static str> {
        vec!["sales", "sale_lines", "stock_movements"]
    }
}

#[test]
fn inv12_inv13_every_sale_is_made_once() {
    let report = nizhal_sim::check(Till);
    assert!(report.counts["write"] > report.seeds, "{report:#?}");
}
