//! Arguments are read exactly or refused.

use crate::fixture::{add, two_shops};
use nizhal_tests::{App, both};
use serde_json::json;

both![inv32_unfit_arguments_are_refused, amounts_lose_no_digit, moments_keep_their_microseconds];

async fn inv32_unfit_arguments_are_refused(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    for (name, args) in [
        ("addCustomer", json!({"clientId": "x", "name": ""})),
        ("addCustomer", json!({"clientId": "x", "name": "  "})),
        ("addCustomer", json!({"clientId": "", "name": "A"})),
        ("addCustomer", json!({"clientId": "x"})),
        ("addCustomer", json!({"name": "A"})),
        ("addCustomer", json!({"clientId": 7, "name": "A"})),
        ("addCustomer", json!({"clientId": "x", "name": null})),
        ("addCustomer", json!({"clientId": "x", "name": "A", "phone": 77})),
        ("addCustomer", json!([])),
        ("addCustomer", json!("x")),
        ("addCustomer", json!(null)),
        ("updateCustomerName", json!({"customerId": "c1", "value": ""})),
        ("recordCredit", json!({"clientId": "e", "customerId": "c1"})),
        ("recordCredit", json!({"clientId": "e", "customerId": "c1", "amount": 0})),
        ("recordCredit", json!({"clientId": "e", "customerId": "c1", "amount": "0.00"})),
        ("recordCredit", json!({"clientId": "e", "customerId": "c1", "amount": -1})),
        ("recordPayment", json!({"clientId": "e", "customerId": "c1", "amount": "-0.01"})),
        ("recordPayment", json!({"clientId": "e", "customerId": "c1", "amount": "ten"})),
        ("recordPayment", json!({"clientId": "e", "customerId": "c1", "amount": true})),
        ("recordPayment", json!({"clientId": "e", "customerId": "c1", "amount": "12345678901234567890123456789.5"})),
        ("recordPayment", json!({"clientId": "e", "customerId": "c1", "amount": 5, "at": "yesterday"})),
        ("recordPayment", json!({"clientId": "e", "customerId": "c1", "amount": 5, "at": 1_700_000_000})),
        ("recordCredit", json!({"clientId": "e", "customerId": "c1", "amount": 5, "dueDate": "2027-02-30T00:00:00Z"})),
    ] {
        phone.mutate(name, &args).await.refused(422, "invalid_args");
    }
    assert_eq!((db.count("customers").await, db.count("ledger_entries").await), (1, 0));
}

async fn amounts_lose_no_digit(app: App) {
    two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    let amounts = [
        ("1234567890123456.10", "1234567890123456.10"),
        ("\"1234567890123456.10\"", "1234567890123456.10"),
        ("9007199254740993", "9007199254740993"),
        ("\"0.0000000000000000000000000001\"", "0.0000000000000000000000000001"),
        ("1234567890123456789012345678", "1234567890123456789012345678"),
        ("0.1", "0.1"),
        ("\"25.00\"", "25.00"),
        ("100", "100"),
    ];
    for (at, (written, _)) in amounts.iter().enumerate() {
        for (name, id) in [("recordCredit", format!("plus{at}")), ("recordPayment", format!("minus{at}"))] {
            // As text, because a JSON library on the way could round the number.
            let body = format!(
                r#"{{"mutations": [{{"name": "{name}", "clientMutationId": "{id}",
                    "args": {{"clientId": "{id}", "customerId": "c1", "amount": {written}}}}}]}}"#
            );
            app.post("/sync/push", &phone.token, body).await.expect(200);
        }
    }
    phone.pull().await;
    for (at, (_, expected)) in amounts.iter().enumerate() {
        let amount = |id: String| phone.row("ledger_entries", &id).expect("it arrived")["amount"].clone();
        assert_eq!(amount(format!("plus{at}")), *expected);
        assert_eq!(amount(format!("minus{at}")), format!("-{expected}"));
    }
}

async fn moments_keep_their_microseconds(app: App) {
    two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    let moments = [
        ("2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.123456Z"),
        ("2026-01-02T03:04:05.120000Z", "2026-01-02T03:04:05.12Z"),
        ("2026-01-02T08:34:05+05:30", "2026-01-02T03:04:05Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
    ];
    for (at, (written, _)) in moments.iter().enumerate() {
        let args = json!({"clientId": format!("e{at}"), "customerId": "c1", "amount": 1, "at": written});
        phone.mutate("recordCredit", &args).await.expect(200);
    }
    phone.pull().await;
    for (at, (written, expected)) in moments.iter().enumerate() {
        let row = phone.row("ledger_entries", &format!("e{at}")).expect("it arrived");
        let moment = row["at"].as_str().expect("a moment is text");
        // Trailing zeros of a second are a matter of taste, as long as both databases share it; `encoding` pins it.
        let plain =
            |text: &str| text.trim_end_matches('Z').trim_end_matches(".000000").trim_end_matches('0').to_owned();
        assert_eq!(plain(moment), plain(expected), "{written}");
        assert!(moment.ends_with('Z'), "{moment}");
    }
}
