//! Rows have the same bytes whichever database serves them.

use crate::fixture::two_shops;
use nizhal_tests::{App, both};

both![a_row_is_encoded_exactly];

const AT: &str = "2026-01-02T03:04:05.120000Z";

async fn a_row_is_encoded_exactly(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let customer = "{\"clientId\": \"c1\", \"name\": \"\\\"Sunil\\\" \\\\ \\u0001\\n\\u00e9\\ud83d\\ude00</script>\", \"note\": \"a\\u2028b\"}";
    let entry = format!(
        "{{\"clientId\": \"e1\", \"customerId\": \"c1\", \"amount\": 12.50, \"reason\": \"rice\", \"at\": \"{AT}\"}}"
    );
    for (name, args) in [("addCustomer", customer), ("recordPayment", &entry)] {
        let body = format!(
            "{{\"mutations\": [{{\"name\": \"{name}\", \"clientMutationId\": \"{name}\", \"args\": {args}}}]}}"
        );
        app.post("/sync/push", &phone.token, body).await.expect(200);
    }
    let text = phone.ask(None).await.expect(200).text;
    let page = phone.page(None).await;
    let redacted = page.changed.iter().fold(text, |text, (_, _, row)| {
        ["created_at", "updated_at"]
            .iter()
            .fold(text, |text, column| text.replace(row[*column].as_str().expect("a moment"), "<now>"))
    });
    let expected = [
        "{\"table\":\"customers\",\"rows\":[{\"id\":\"c1\",\"shop_id\":\"s1\",\
         \"name\":\"\\\"Sunil\\\" \\\\ \\u0001\\né😀</script>\",\"phone\":null,\"note\":\"a\u{2028}b\",\"client_id\":\"c1\",\
         \"created_at\":\"<now>\",\"updated_at\":\"<now>\",\"deleted_at\":null}]}",
        "{\"table\":\"ledger_entries\",\"rows\":[{\"id\":\"e1\",\"shop_id\":\"s1\",\"customer_id\":\"c1\",\
         \"amount\":\"-12.50\",\"reason\":\"rice\",\"ref\":null,\"photo\":null,\"at\":\"2026-01-02T03:04:05.120000Z\",\
         \"created_by\":\"ana\",\"client_id\":\"e1\",\"created_at\":\"<now>\",\"updated_at\":\"<now>\",\"deleted_at\":null}]}",
    ];
    for row in expected {
        assert!(redacted.contains(row), "expected {row}\nin {redacted}");
    }
    db.execute("update ledger_entries set at = '2026-01-02T03:04:05Z', amount = '100'").await;
    let text = phone.ask(None).await.expect(200).text;
    assert!(text.contains("\"amount\":\"100\"") && text.contains("\"at\":\"2026-01-02T03:04:05.000000Z\""), "{text}");
}
