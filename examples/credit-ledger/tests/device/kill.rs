//! Invariants 13 and 22: kill -9 of an app at random instants, and of the server under devices.

use crate::fixture::{add, credit, device, entries, lend, names, settled, setup, shop};
use credit_ledger::mutator::record_credit;
use nizhal_tests::{App, Connection, TempDir, both, until};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

both![inv22_an_app_killed_two_hundred_times_loses_and_doubles_nothing, inv13_a_server_killed_under_two_devices];

const KILLS: u64 = 200;
const FILE: &str = "NIZHAL_TEST_FILE";
const URL: &str = "NIZHAL_TEST_URL";
const ROUND: &str = "NIZHAL_TEST_ROUND";

/// Not a test: the app that is killed, run by the tests as a process of its own. It writes without end, and says what `mutate`
/// returned from.
#[test]
#[ignore = "the process that other tests kill"]
fn app_process() {
    let (Ok(file), Ok(url), Ok(round)) = (std::env::var(FILE), std::env::var(URL), std::env::var(ROUND)) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Box::pin(setup("ana").file(file).server(url, crate::fixture::bearer("ana")).open()).await.unwrap();
        for number in 0.. {
            let id = format!("r{round}-{number}");
            client.mutate::<record_credit>(credit(&id, "c1", 1 + number % 9)).await.unwrap();
            println!("\nwritten {id}");
            std::io::stdout().flush().unwrap();
        }
    });
}

fn start(file: &Path, url: &str, round: u64) -> Child {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["kill::app_process", "--exact", "--ignored", "--nocapture"])
        .env(FILE, file)
        .env(URL, url)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn inv22_an_app_killed_two_hundred_times_loses_and_doubles_nothing(app: App) {
    let mut db = shop(&app).await;
    db.execute("insert into customers (id, shop_id, name) values ('c1', 's1', 'Sunil')").await;
    let dir = TempDir::in_memory("device");
    let file = dir.path().join("app.db");
    let url = app.address.at("");
    let mut random = nizhal::Random::of("kills");
    let mut written = BTreeSet::new();
    // Its first rows, so that mutators find the customer.
    let first =
        Box::pin(setup("ana").file(&file).server(url.clone(), crate::fixture::bearer("ana")).open()).await.unwrap();
    settled(&first).await;
    first.close().await;
    for round in 0..KILLS {
        let mut child = start(&file, &url, round);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.by_ref().filter_map(|line| line.strip_prefix("written ").map(str::to_owned));
        // Some are killed before they wrote anything, some in the middle of a pull or push; when, is the machine's chance.
        let wanted = usize::try_from(random.below(6)).unwrap();
        let mut said = said.take(wanted);
        written.extend(said.by_ref());
        let spin = random.below(40_000);
        std::hint::black_box((0..spin).fold(0_u64, |sum, n| sum ^ n.wrapping_mul(sum | 1)));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died counts too.
        written.extend(lines.filter_map(|line| line.strip_prefix("written ").map(str::to_owned)));
    }
    let last = Box::pin(setup("ana").file(&file).server(url, crate::fixture::bearer("ana")).open()).await.unwrap();
    assert!(last.notices().is_empty(), "{:?}", last.notices());
    settled(&last).await;
    let here: Vec<(String, String)> = entries(&last).await;
    assert_eq!(here, on_server(&mut db).await, "device and server have the same ledger");
    let ids: BTreeSet<String> = here.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids.len(), here.len());
    let lost: Vec<_> = written.difference(&ids).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(written.len() > 200, "the app was killed too early to have written anything: {}", written.len());
    assert_eq!(last.parked().await.unwrap(), [], "nothing was sent twice under two names");
}

async fn on_server(db: &mut Connection) -> Vec<(String, String)> {
    let sql = "select id, cast(amount as text) from ledger_entries";
    let mut rows: Vec<_> =
        db.rows(sql).await.into_iter().map(|row| (row[0].clone().unwrap(), row[1].clone().unwrap())).collect();
    rows.sort();
    rows
}

async fn inv13_a_server_killed_under_two_devices(mut app: App) {
    let mut db = shop(&app).await;
    // Where it listens must outlive it.
    let proxy = nizhal_tests::Proxy::start(&app.address, 7).await;
    let open = async |user: &str| {
        let setup = setup(user).server(proxy.address().at(""), crate::fixture::bearer(user));
        Box::pin(setup.open()).await.unwrap()
    };
    let (ana, ben) = (open("ana").await, open("ben").await);
    add(&ana, "c1").await;
    until("ben knows the customer", async || names(&ben).await.len() == 1).await;
    for round in 0..8 {
        for number in 0..15 {
            lend(&ana, &format!("a{round}-{number}"), "c1", 2).await;
            lend(&ben, &format!("b{round}-{number}"), "c1", 3).await;
        }
        app.restart();
    }
    settled(&ana).await;
    settled(&ben).await;
    until("both have all", async || entries(&ana).await.len() == 240 && entries(&ben).await.len() == 240).await;
    assert_eq!(entries(&ana).await, on_server(&mut db).await);
    assert_eq!(entries(&ben).await, on_server(&mut db).await);
    let fresh = device(&app, "ana").await;
    settled(&fresh).await;
    assert_eq!(entries(&fresh).await, entries(&ana).await);
}
