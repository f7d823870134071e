//! Wire 2's pull and stream: whole transactions, whole pulls as lines, and buckets with their rule's name.

use crate::fixture::{add, customers, leave, shop, two_shops};
use crate::oracle::assert_converged;
use nizhal_tests::{App, Device, Frame, both};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

both![
    inv07_a_lost_bucket_is_named_with_its_rule,
    inv11_a_streamed_pull_is_one_snapshot,
    a_stream_is_compressed_for_who_asks,
    a_page_is_compressed_for_who_asks,
    inv28_a_streamed_pull_takes_no_memory_of_its_size,
    inv05_a_cut_stream_changes_nothing,
    inv09_a_stream_of_deletes_ends_and_goes_on,
    wire_one_asks_for_lines_in_vain,
    the_stream_names_rules,
];

// SQLite gives each row of a writer from outside a version of its own.
nizhal_tests::on!(postgres_alone, Postgres: inv11_pages_end_between_transactions,
    inv11_a_transaction_larger_than_a_page_is_split);

fn ana(app: &App) -> Device {
    app.device("d", "ana", "s1").wire_two()
}

async fn inv11_pages_end_between_transactions(app: App) {
    let mut db = two_shops(&app).await;
    let mut writer = app.device("w", "ana", "s1");
    // Transactions of 1, 2, 2, 1 and 2 rows: an entry and its reminder.
    for (customer, entry) in [("c1", "e1"), ("c1", "e2"), ("c2", "e3")] {
        if entry != "e2" {
            add(&mut writer, customer).await;
        }
        db.execute(&format!(
            "begin; insert into ledger_entries (id, shop_id, customer_id, amount, at, created_by) \
             values ('{entry}', 's1', '{customer}', 5, now(), 'ana'); \
             insert into reminders (id, shop_id, customer_id, entry_id, scheduled_at) \
             values ('{entry}-due', 's1', '{customer}', '{entry}', now()); commit"
        ))
        .await;
    }
    for (limit, sizes) in
        [(2, vec![1, 2, 2, 1, 2]), (3, vec![3, 3, 2]), (4, vec![3, 3, 2]), (5, vec![5, 3]), (8, vec![8])]
    {
        let mut device = ana(&app);
        let pages = device.pull_by(limit).await;
        let got: Vec<usize> = pages.iter().map(|page| page.changed.len()).collect();
        assert_eq!(got, sizes, "limit {limit}");
        let complete: Vec<bool> = pages.iter().map(|page| page.body["complete"] == true).collect();
        assert!(complete.iter().enumerate().all(|(at, done)| *done == (at + 1 == sizes.len())), "{complete:?}");
        assert_converged(&app, &device, "ana").await;
    }
    let mut device = ana(&app);
    assert_eq!(device.pull_by(1).await.len(), 8, "larger than a page, they are split");
    assert_converged(&app, &device, "ana").await;
}

async fn inv11_a_transaction_larger_than_a_page_is_split(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "a", 1).await;
    customers(&mut db, "s1", "b", 10).await;
    customers(&mut db, "s1", "c", 2).await;
    let mut device = ana(&app);
    let sizes: Vec<usize> = device.pull_by(4).await.iter().map(|page| page.changed.len()).collect();
    // One; ten as four, four and the rest; then what did not fit whole beside the rest.
    assert_eq!(sizes, [1, 4, 4, 4]);
    // Beside rows that were there before, one that came since fits no more than beside any.
    let mut device = ana(&app);
    assert_eq!(device.page(Some(11)).await.changed.len(), 11);
    customers(&mut db, "s1", "d", 3).await;
    let sizes: Vec<usize> = device.pull_by(4).await.iter().map(|page| page.changed.len()).collect();
    assert_eq!(sizes, [2, 3]);
    for limit in 1..=3 {
        let mut device = ana(&app);
        device.pull_by(limit).await;
        assert_converged(&app, &device, "ana").await;
    }
}

async fn inv07_a_lost_bucket_is_named_with_its_rule(app: App) {
    let mut db = two_shops(&app).await;
    shop(&mut db, "s3", &["ana"]).await;
    customers(&mut db, "s1", "a", 2).await;
    customers(&mut db, "s3", "b", 2).await;
    let mut device = ana(&app);
    device.pull().await;
    leave(&mut db, "s3", "ana").await;
    let last = lines(device.pull_request(None)).await.pop().expect("a last line");
    assert_eq!(last["removedBuckets"], json!(["myShops:s3"]));
    assert_eq!(device.page(None).await.removed_buckets, ["myShops:s3"]);
    assert_converged(&app, &device, "ana").await;
}

/// Asks for lines.
pub(crate) async fn open(request: RequestBuilder) -> Response {
    opened(request, "identity", "identity").await
}

/// Asks for lines in these encodings, and gets this one.
async fn opened(request: RequestBuilder, asked: &str, encoding: &str) -> Response {
    let request = request.header("accept", "application/x-ndjson").header("accept-encoding", asked);
    let response = request.send().await.expect("the server answers");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    assert_eq!(response.headers()["content-encoding"], encoding, "{asked}");
    response
}

fn parse(text: &str) -> Vec<Value> {
    assert!(text.ends_with('\n'), "a line is cut");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

async fn lines(request: RequestBuilder) -> Vec<Value> {
    parse(&open(request).await.text().await.expect("the stream ends well"))
}

/// Takes the lines as a client does: all of them, with the last.
fn apply(device: &mut Device, mut lines: Vec<Value>) -> Value {
    let mut last = lines.pop().expect("a last line");
    assert!(lines.iter().all(|line| line.get("cursor").is_none() && line["rows"].is_array()), "an early end");
    last["changed"] = lines.into();
    device.apply(&last);
    last
}

/// Rows of about a kilobyte.
async fn fat(db: &mut nizhal_tests::Connection, count: usize) {
    customers(db, "s1", "c", count).await;
    db.execute(&format!("update customers set note = '{}'", "x".repeat(1000))).await;
}

pub(crate) async fn inv11_a_streamed_pull_is_one_snapshot(app: App) {
    let mut db = two_shops(&app).await;
    fat(&mut db, 20_000).await;
    let mut device = ana(&app);
    let mut response = open(device.pull_request(None)).await;
    let mut bytes = response.chunk().await.expect("a chunk").expect("a first line").to_vec();
    // The rest is far more than sockets hold: it has yet to be read from the database.
    db.execute("update customers set note = 'late'").await;
    db.execute("delete from customers where id = 'c7'").await;
    while let Some(chunk) = response.chunk().await.expect("the stream goes on") {
        bytes.extend_from_slice(&chunk);
    }
    let last = apply(&mut device, parse(std::str::from_utf8(&bytes).expect("UTF-8")));
    assert_eq!((&last["complete"], last.get("hasMore")), (&json!(true), None));
    assert_eq!(device.rows.len(), 20_000);
    assert!(device.rows.values().all(|row| row["note"] != "late"), "two moments in one pull");
    let after = lines(device.pull_request(None)).await;
    let last = apply(&mut device, after);
    assert_eq!(last["tombstoned"], json!([{"table": "customers", "id": "c7"}]));
    assert_converged(&app, &device, "ana").await;
}

async fn a_stream_is_compressed_for_who_asks(app: App) {
    let mut db = two_shops(&app).await;
    fat(&mut db, 20_000).await;
    let device = ana(&app);
    let mut response = opened(device.pull_request(None), "br, gzip, zstd", "gzip").await;
    let mut bytes = response.chunk().await.expect("a chunk").expect("a first line").to_vec();
    assert_eq!(bytes[..2], [0x1f, 0x8b]);
    // It is sent as it is made: what comes after has yet to be read from the database.
    db.execute("update customers set note = 'late'").await;
    while let Some(chunk) = response.chunk().await.expect("the stream goes on") {
        bytes.extend_from_slice(&chunk);
    }
    assert!(bytes.len() < 4_000_000, "{} bytes for 20 MB", bytes.len());
    for (asked, encoding) in [("br", "identity"), ("gzip;q=0", "identity")] {
        drop(opened(device.pull_request(None), asked, encoding).await);
    }
}

async fn a_page_is_compressed_for_who_asks(app: App) {
    let mut db = two_shops(&app).await;
    fat(&mut db, 900).await;
    let device = ana(&app);
    let ask = async |asked: &str| {
        let response = device.pull_request(None).header("accept-encoding", asked).send().await.expect("an answer");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["vary"]),
            (200, &"accept-encoding".parse().unwrap())
        );
        let encoding = response.headers().get("content-encoding").map(|encoding| encoding.to_str().unwrap().to_owned());
        (encoding, response.bytes().await.expect("a body"))
    };
    let (encoding, plain) = ask("br").await;
    assert_eq!((encoding, plain.first()), (None, Some(&b'{')));
    let (encoding, packed) = ask("gzip, deflate, br").await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut read).expect("it is whole");
    let rows = |body: &[u8]| serde_json::from_slice::<Value>(body).expect("a page")["changed"].clone();
    assert_eq!(rows(&read), rows(&plain));
    assert!(packed.len() < plain.len() / 10, "{} of {}", packed.len(), plain.len());
}

async fn inv28_a_streamed_pull_takes_no_memory_of_its_size(app: App) {
    let mut db = two_shops(&app).await;
    fat(&mut db, 60_000).await;
    let device = ana(&app);
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", app.server.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<usize>().ok()).expect("a number")
    };
    device.ask(None).await.expect(200);
    let before = peak();
    let mut response = open(device.pull_request(None)).await;
    let mut size = response.chunk().await.expect("a chunk").expect("a first line").len();
    // Meanwhile another reads all of it in pages: time enough for a server that would read on by itself.
    app.device("other", "ana", "s1").pull().await;
    while let Some(chunk) = response.chunk().await.expect("the stream goes on") {
        size += chunk.len();
    }
    assert!(size > 60_000_000, "{size} bytes");
    let grown = peak() - before;
    assert!(grown < 30_000, "{grown} kB for an answer of {size} bytes");
}

pub(crate) async fn inv05_a_cut_stream_changes_nothing(app: App) {
    let mut db = two_shops(&app).await;
    fat(&mut db, 20_000).await;
    let mut device = ana(&app);
    // More often than there may be streams at once: each gives its place back, when the server next writes and notices.
    for _ in 0..24 {
        let mut begun = None;
        nizhal_tests::until("a place is free", async || {
            let request = device.pull_request(None).header("accept", "application/x-ndjson");
            let response = request.send().await.expect("an answer");
            begun = (response.status() == 200).then_some(response);
            begun.is_some()
        })
        .await;
        let chunk = begun.expect("a stream").chunk().await.expect("a chunk").expect("bytes");
        assert!(!String::from_utf8_lossy(&chunk).contains("\"cursor\""));
    }
    nizhal_tests::until("the pull is whole", async || {
        let request = device.pull_request(None).header("accept", "application/x-ndjson");
        let response = request.send().await.expect("an answer");
        if response.status() != 200 {
            assert!([429, 503].contains(&response.status().as_u16()), "{}", response.status());
            return false;
        }
        apply(&mut device, parse(&response.text().await.expect("the stream ends well")));
        true
    })
    .await;
    assert_converged(&app, &device, "ana").await;
}

async fn inv09_a_stream_of_deletes_ends_and_goes_on(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 12_500).await;
    let mut device = ana(&app);
    let first = lines(device.pull_request(None)).await;
    apply(&mut device, first);
    assert_eq!(device.rows.len(), 12_500);
    db.execute("delete from customers where id <> 'c5'").await;
    add(&mut device, "new").await;
    let mut ends = Vec::new();
    while ends.last() != Some(&json!(true)) {
        let next = lines(device.pull_request(None)).await;
        let last = apply(&mut device, next);
        assert!(last["tombstoned"].as_array().expect("a list").len() <= 11_000, "ids without bound");
        ends.push(last["complete"].clone());
    }
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert_eq!((device.acknowledged, device.ids("customers")), (1, vec!["c5", "new"]));
}

async fn wire_one_asks_for_lines_in_vain(app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 3).await;
    let old = app.device("d", "ana", "s1");
    let response = old.pull_request(None).header("accept", "application/x-ndjson").send().await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "application/json");
    old.clone().apply(&serde_json::from_str(&response.text().await.expect("a body")).expect("JSON"));
}

async fn the_stream_names_rules(app: App) {
    two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let mut socket = app.stream("wire=2&bucket=myShops:s1", Some(&phone.token)).await.expect("ana's own");
    socket.ready().await;
    add(&mut phone, "c1").await;
    assert_eq!(socket.next().await, Frame::text("repull:myShops:s1"));
    for (query, status) in [("wire=2&bucket=s1", 403), ("wire=2&bucket=myShops:s2", 403), ("wire=9", 400)] {
        assert_eq!(app.stream(query, Some(&phone.token)).await.err(), Some(status), "{query}");
    }
    app.get("/sync/realtime/authorize?wire=2&bucket=myShops:s1", &phone.token).await.expect(204);
    app.get("/sync/realtime/authorize?wire=2&bucket=s1", &phone.token).await.refused(403, "forbidden");
}
