//! Two tills through the real server, on both databases.

use nizhal_tests::{App, Device, both, token};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_point-of-sale");

both![
    a_sale_of_several_lines_is_all_or_nothing,
    inv21_invoices_have_no_gap,
    inv02_a_till_sees_its_own_sales_and_the_shops_stock,
    stock_is_what_the_movements_say,
    inv18_a_sale_at_anothers_till_is_refused,
    a_refund_returns_everything_once,
    inv07_who_leaves_the_shop_loses_the_drawer_too,
];

/// A shop with two tills, kept by `meena` and `ravi`, and a shelf with tea and soap.
async fn shop(app: &App) -> (Device, Device) {
    let mut db = app.sql().await;
    for (till, user) in [("t1", "meena"), ("t2", "ravi")] {
        db.execute(&format!("insert into staff (shop_id, user_id) values ('s1', '{user}')")).await;
        db.execute(&format!("insert into till_keepers (till_id, user_id) values ('{till}', '{user}')")).await;
    }
    db.execute("insert into products (id, shop_id, name, price) values ('tea', 's1', 'Tea', '4.50'), ('soap', 's1', 'Soap', '1.90')")
        .await;
    (till(app, "meena"), till(app, "ravi"))
}

fn till(app: &App, user: &str) -> Device {
    let device = Device::new(&app.address, &format!("{user}-till"), &token::signed(&token::claims(user, None)));
    device.wire_two().bucket_column("till_id").key("sale_lines", &["sale_id", "line"])
}

fn sale(id: &str, till: &str, lines: &[(&str, i32, &str)]) -> Value {
    let lines: Vec<Value> = (lines.iter())
        .map(|(product, pieces, price)| json!({"productId": product, "pieces": pieces, "price": price}))
        .collect();
    json!({"clientId": id, "shopId": "s1", "tillId": till, "lines": lines})
}

/// Pushes, and says what became of it.
async fn act(device: &mut Device, name: &str, args: &Value) -> String {
    let answer = device.mutate(name, args).await.expect(200).json();
    answer["results"][0]["status"].as_str().expect("a status").to_owned()
}

/// How many rows of a table the device holds.
fn held(device: &Device, table: &str) -> usize {
    device.rows.keys().filter(|(of, _)| of == table).count()
}

/// What is on the shelf of a product, as the device knows it.
fn stock(device: &Device, product: &str) -> i64 {
    let of_product = |row: &&Value| row["product_id"] == product && row.get("reason").is_some();
    device.rows.values().filter(of_product).map(|row| row["pieces"].as_i64().expect("pieces")).sum()
}

async fn a_sale_of_several_lines_is_all_or_nothing(app: App) {
    let (mut meena, _) = shop(&app).await;
    let good = sale("a", "t1", &[("tea", 2, "4.50"), ("soap", 1, "1.90")]);
    assert_eq!(act(&mut meena, "sell", &good).await, "applied");
    for (id, lines) in [
        ("b", &[("tea", 1, "4.50"), ("gone", 1, "1")][..]),
        ("c", &[("tea", 1, "4.50"), ("soap", 0, "1.90")]),
        ("d", &[("tea", 1, "4.50"), ("soap", 1, "-1")]),
        ("e", &[("tea", 9, "9999999999999999999999999999")]),
        ("f", &[]),
    ] {
        assert_eq!(act(&mut meena, "sell", &sale(id, "t1", lines)).await, "rejected", "{id}");
    }
    meena.pull().await;
    assert_eq!((held(&meena, "sales"), held(&meena, "sale_lines"), held(&meena, "stock_movements")), (1, 2, 2));
    let sold = meena.rows.get(&("sales".to_owned(), "a".to_owned())).expect("the sale");
    assert_eq!((&sold["total"], &sold["invoice"], &sold["state"]), (&json!("10.90"), &json!("1"), &json!("paid")));
}

async fn inv21_invoices_have_no_gap(app: App) {
    let (mut meena, mut ravi) = shop(&app).await;
    let selling = |device: &'static str| {
        let mut till = till(&app, if device == "t1" { "meena" } else { "ravi" });
        async move {
            for number in 0..10 {
                let product = if number % 3 == 2 { "gone" } else { "tea" };
                act(&mut till, "sell", &sale(&format!("{device}-{number}"), device, &[(product, 1, "4.50")])).await;
            }
        }
    };
    tokio::join!(selling("t1"), selling("t2"));
    meena.pull().await;
    ravi.pull().await;
    let rows = meena.rows.iter().chain(&ravi.rows).filter(|((table, _), _)| table == "sales");
    let mut invoices: Vec<i64> =
        rows.map(|(_, row)| row["invoice"].as_str().expect("a number").parse().expect("a number")).collect();
    invoices.sort_unstable();
    assert_eq!(invoices, (1..=14).collect::<Vec<_>>());
}

async fn inv02_a_till_sees_its_own_sales_and_the_shops_stock(app: App) {
    let (mut meena, mut ravi) = shop(&app).await;
    assert_eq!(act(&mut meena, "sell", &sale("a", "t1", &[("tea", 2, "4.50")])).await, "applied");
    ravi.pull().await;
    assert_eq!((held(&ravi, "sales"), held(&ravi, "sale_lines")), (0, 0));
    assert_eq!(stock(&ravi, "tea"), -2);
    let mut stranger = till(&app, "zoe");
    stranger.pull().await;
    assert!(stranger.rows.is_empty(), "{:?}", stranger.rows);
}

async fn stock_is_what_the_movements_say(app: App) {
    let (mut meena, mut ravi) = shop(&app).await;
    let pieces = |id: &str, pieces: i32| json!({"clientId": id, "productId": "tea", "pieces": pieces});
    assert_eq!(act(&mut meena, "receiveStock", &pieces("in", 20)).await, "applied");
    assert_eq!(act(&mut meena, "receiveStock", &pieces("none", 0)).await, "rejected");
    assert_eq!(act(&mut meena, "sell", &sale("a", "t1", &[("tea", 3, "4.50")])).await, "applied");
    // Ravi counted without having heard of Meena's sale: 17 are there, and so nothing is missing.
    assert_eq!(act(&mut ravi, "countStock", &pieces("count", 17)).await, "applied");
    assert_eq!(act(&mut ravi, "countStock", &pieces("again", 15)).await, "applied");
    meena.pull().await;
    assert_eq!(stock(&meena, "tea"), 15);
    assert_eq!(held(&meena, "stock_movements"), 3);
}

async fn inv18_a_sale_at_anothers_till_is_refused(app: App) {
    let (mut meena, mut ravi) = shop(&app).await;
    assert_eq!(act(&mut ravi, "sell", &sale("a", "t1", &[("tea", 1, "4.50")])).await, "forbidden");
    assert_eq!(act(&mut meena, "sell", &sale("b", "t1", &[("tea", 1, "4.50")])).await, "applied");
    // As a sale that does not exist: nobody learns which ids are taken.
    assert_eq!(act(&mut ravi, "refund", &json!({"saleId": "b"})).await, "rejected");
    meena.pull().await;
    assert_eq!((held(&meena, "sales"), stock(&meena, "tea")), (1, -1));
}

async fn a_refund_returns_everything_once(app: App) {
    let (mut meena, _) = shop(&app).await;
    assert_eq!(act(&mut meena, "sell", &sale("a", "t1", &[("tea", 2, "4.50"), ("soap", 1, "1.90")])).await, "applied");
    assert_eq!(act(&mut meena, "refund", &json!({"saleId": "a"})).await, "applied");
    assert_eq!(act(&mut meena, "refund", &json!({"saleId": "a"})).await, "rejected");
    assert_eq!(act(&mut meena, "refund", &json!({"saleId": "none"})).await, "rejected");
    meena.pull().await;
    assert_eq!((stock(&meena, "tea"), stock(&meena, "soap")), (0, 0));
    assert_eq!(meena.rows[&("sales".to_owned(), "a".to_owned())]["state"], "refunded");
}

async fn inv07_who_leaves_the_shop_loses_the_drawer_too(app: App) {
    let (mut meena, _) = shop(&app).await;
    assert_eq!(act(&mut meena, "sell", &sale("a", "t1", &[("tea", 1, "4.50")])).await, "applied");
    meena.pull().await;
    app.sql().await.execute("delete from staff where user_id = 'meena'").await;
    let page = meena.pull().await.remove(0);
    assert_eq!(page.removed_buckets, ["myShops:s1", "myTills:s1/t1"]);
    // Nor does she see the shop's products any more.
    assert_eq!(act(&mut meena, "sell", &sale("b", "t1", &[("tea", 1, "4.50")])).await, "rejected");
    assert_eq!(app.sql().await.count("sales").await, 1);
}
