//! Invariants 12, 14, 18 and 19: a mutation takes effect once, wholly, inside its actor's shops.

use crate::fixture::{add, credit, loose, two_shops};
use nizhal_tests::{App, Reply, both, token};
use serde_json::json;

both![
    inv12_a_duplicate_answers_as_the_first,
    inv12_identical_pushes_at_once_apply_once,
    inv12_replaying_an_outbox_changes_nothing,
    inv14_a_batch_ends_at_its_first_failure,
    inv18_a_foreign_shops_write_is_rolled_back,
    inv18_a_foreign_customer_is_not_found,
    inv19_a_client_id_belongs_to_its_first_actor,
    inv19_an_answer_belongs_to_its_actor,
    a_used_id_is_refused_for_good,
    a_token_without_a_shop_writes_nowhere,
    deleting_a_customer_takes_waiting_reminders_along,
];

async fn inv12_a_duplicate_answers_as_the_first(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let mutation = phone.mutation("addCustomer", &json!({"clientId": "c1", "name": "Sunil"}));
    let first = phone.push(std::slice::from_ref(&mutation)).await.expect(200);
    assert_eq!(first.json(), json!({"applied": ["phone-1"], "lastMutationId": 1}));
    for _ in 0..3 {
        assert_eq!(phone.push(std::slice::from_ref(&mutation)).await.expect(200).text, first.text);
    }
    let loose = loose("addCustomer", "x1", &json!({"clientId": "c2", "name": "Arul"}));
    let first = phone.push(std::slice::from_ref(&loose)).await.expect(200);
    assert_eq!(first.json(), json!({"applied": ["x1"]}));
    assert_eq!(phone.push(&[loose]).await.expect(200).text, first.text);
    assert_eq!(db.count("customers").await, 2);
}

pub(crate) async fn inv12_identical_pushes_at_once_apply_once(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    for name in ["addCustomer", "recordCredit"] {
        let args = json!({"clientId": "c1", "name": "Sunil", "customerId": "c1", "amount": 5});
        let mutation = phone.mutation(name, &args);
        let pushes: Vec<_> =
            (0..12).map(|_| tokio::spawn(Reply::of(phone.push_request(std::slice::from_ref(&mutation))))).collect();
        let mut answers = Vec::new();
        for push in pushes {
            answers.push(push.await.expect("the push ends").expect(200).text);
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
    }
    assert_eq!((db.count("customers").await, db.count("ledger_entries").await), (1, 1));
    let loose = loose("recordPayment", "x1", &json!({"clientId": "e2", "customerId": "c1", "amount": 5}));
    let pushes: Vec<_> =
        (0..12).map(|_| tokio::spawn(Reply::of(phone.push_request(std::slice::from_ref(&loose))))).collect();
    for push in pushes {
        assert_eq!(push.await.expect("the push ends").expect(200).json(), json!({"applied": ["x1"]}));
    }
    assert_eq!(db.count("ledger_entries").await, 2);
}

async fn inv12_replaying_an_outbox_changes_nothing(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let outbox: Vec<_> = [
        ("addCustomer", json!({"clientId": "c1", "name": "Sunil"})),
        (
            "recordCredit",
            json!({"clientId": "e1", "customerId": "c1", "amount": "70.00", "dueDate": "2027-01-01T00:00:00Z"}),
        ),
        ("updateCustomerName", json!({"customerId": "c1", "value": "Sunil P."})),
        ("deleteCustomer", json!({"customerId": "c1"})),
        ("addCustomer", json!({"clientId": "c2", "name": "Arul"})),
    ]
    .iter()
    .map(|(name, args)| phone.mutation(name, args))
    .collect();
    let first = phone.push(&outbox).await.expect(200);
    phone.pull().await;
    let before = phone.rows.clone();
    assert_eq!(phone.push(&outbox).await.expect(200).text, first.text);
    assert_eq!(phone.push(&outbox[2..]).await.expect(200).json()["lastMutationId"], 5);
    let page = phone.page(None).await;
    assert!(page.changed.is_empty() && page.tombstoned.is_empty(), "a replay wrote: {}", page.body);
    assert_eq!(phone.rows, before);
    assert_eq!(db.text("select id from customers").await, "c2");
}

pub(crate) async fn inv14_a_batch_ends_at_its_first_failure(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let good = phone.mutation("addCustomer", &json!({"clientId": "c1", "name": "Sunil"}));
    let bad = phone.mutation("deleteCustomer", &json!({"customerId": "nobody"}));
    let last = phone.mutation("addCustomer", &json!({"clientId": "c2", "name": "Arul"}));
    let reply = phone.push(&[good, bad, last.clone()]).await.refused(422, "rejected");
    assert_eq!(reply.json()["applied"], json!(["phone-1"]));
    assert_eq!(db.text("select id from customers").await, "c1");
    phone.push(&[last]).await.expect(200);
    assert_eq!(db.count("customers").await, 2);
}

pub(crate) async fn inv18_a_foreign_shops_write_is_rolled_back(app: App) {
    let mut db = two_shops(&app).await;
    let mut owner = app.device("owner", "cem", "s2");
    add(&mut owner, "c9").await;
    // Signed in to shop s2, says the token; but ana is no member of it.
    let intruder = token::signed(&token::claims("ana", Some("s2")));
    for (at, (name, args)) in [
        ("addCustomer", json!({"clientId": "c1", "name": "Mine"})),
        ("recordCredit", json!({"clientId": "e1", "customerId": "c9", "amount": 5})),
        ("updateCustomerName", json!({"customerId": "c9", "value": "Mine"})),
        ("deleteCustomer", json!({"customerId": "c9"})),
    ]
    .into_iter()
    .enumerate()
    {
        let mutation = loose(name, &format!("x{at}"), &args);
        for _ in 0..2 {
            let reply = app.push(&intruder, std::slice::from_ref(&mutation)).await.refused(403, "forbidden");
            assert_eq!(reply.json()["applied"], json!([]));
            assert!(!reply.text.contains("Name of c9"), "{}", reply.text);
        }
    }
    assert_eq!(db.text("select name from customers").await, "Name of c9");
    assert_eq!(db.count("ledger_entries").await, 0);
    let page = owner.page(None).await;
    assert_eq!(page.changed.len(), 1, "only the owner's own write is there: {}", page.body);
}

async fn inv18_a_foreign_customer_is_not_found(app: App) {
    two_shops(&app).await;
    let mut owner = app.device("owner", "cem", "s2");
    add(&mut owner, "c9").await;
    let mut phone = app.device("phone", "ana", "s1");
    for (name, args) in [
        ("recordCredit", json!({"clientId": "e1", "customerId": "c9", "amount": 5})),
        ("recordPayment", json!({"clientId": "e1", "customerId": "c9", "amount": 5})),
        ("updateCustomerName", json!({"customerId": "c9", "value": "Mine"})),
        ("updateCustomerPhone", json!({"customerId": "c9", "value": "0"})),
        ("deleteCustomer", json!({"customerId": "c9"})),
    ] {
        let reply = phone.mutate(name, &args).await.refused(422, "rejected");
        assert_eq!(reply.json()["error"], "customer not found in the actor's shop");
    }
    owner.pull().await;
    assert_eq!(owner.row("customers", "c9").expect("it is there")["name"], "Name of c9");
}

async fn inv19_a_client_id_belongs_to_its_first_actor(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    for (user, shop) in [("ben", "s1"), ("cem", "s2")] {
        let mut thief = app.device("phone", user, shop);
        thief.mutation("addCustomer", &json!({}));
        let next = thief.mutation("addCustomer", &json!({"clientId": "c2", "name": "Theirs"}));
        let reply = thief.push(&[next]).await.refused(403, "client_id_taken");
        assert!(reply.json().get("lastMutationId").is_none(), "it tells of the owner: {}", reply.text);
        thief.pull().await;
        assert_eq!(thief.acknowledged, 0, "another's sequence was told");
    }
    assert_eq!(db.count("customers").await, 1);
    assert_eq!(add(&mut phone, "c2").await.json()["lastMutationId"], 2);
}

async fn inv19_an_answer_belongs_to_its_actor(app: App) {
    let mut db = two_shops(&app).await;
    let (ana, ben) = (app.device("a", "ana", "s1"), app.device("b", "ben", "s1"));
    let theirs = loose("deleteCustomer", "x1", &json!({"customerId": "secret"}));
    ana.push(&[theirs]).await.refused(422, "rejected");
    let mine = loose("addCustomer", "x1", &json!({"clientId": "c1", "name": "Sunil"}));
    ben.push(&[mine]).await.expect(200);
    assert_eq!(db.count("customers").await, 1);
}

async fn a_used_id_is_refused_for_good(app: App) {
    two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    phone.mutate("addCustomer", &json!({"clientId": "c1", "name": "Twice"})).await.refused(422, "rejected");
    add(&mut phone, "c2").await;
}

async fn a_token_without_a_shop_writes_nowhere(app: App) {
    two_shops(&app).await;
    let token = token::signed(&token::claims("ana", None));
    let mutation = loose("addCustomer", "x1", &json!({"clientId": "c1", "name": "Sunil"}));
    let reply = app.push(&token, &[mutation]).await.refused(422, "rejected");
    assert!(reply.text.contains("shopId"), "{}", reply.text);
}

async fn deleting_a_customer_takes_waiting_reminders_along(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    credit(&mut phone, "e1", "c1", "5").await;
    db.execute(
        "insert into reminders (id, shop_id, customer_id, entry_id, scheduled_at, status) values \
                ('old', 's1', 'c1', 'e1', '2027-01-01T03:30:00+00:00', 'sent'), \
                ('new', 's1', 'c1', 'e1', '2027-01-01T03:30:00+00:00', 'pending')",
    )
    .await;
    phone.pull().await;
    assert_eq!(phone.ids("reminders"), ["new", "old"]);
    phone.mutate("deleteCustomer", &json!({"customerId": "c1"})).await.expect(200);
    phone.pull().await;
    assert_eq!((phone.ids("reminders"), phone.ids("ledger_entries")), (vec!["old"], vec!["e1"]));
}
