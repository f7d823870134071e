//! The statements of one push as the server sends them, replayed by `pgbench` step by step: what each costs the database, and what they would
//! cost if some were sent together.

use super::{
    Size,
    app::Running,
    limit, load,
    report::{Report, median},
};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};

/// Options of a cluster whose statements can be recorded.
pub(crate) const RECORDING: &str = "-c logging_collector=on -c log_destination=jsonlog -c log_filename=statements.log";
/// Where they are, within the cluster's folder.
const LOG: &str = "log/statements.json";
/// The device whose push is recorded; its client and its mutations are called so.
const DEVICE: &str = "steps-device";
/// How many sessions replay it.
const CONNECTIONS: u8 = 16;

/// The statements of one push in order, with their arguments in place.
struct Push {
    /// The name of the server's sessions, by which the triggers know its writes.
    application: String,
    begin: String,
    admit: String,
    mutator: String,
    record: String,
    commit: String,
}

/// Each step, and the limit, in turn.
pub(crate) async fn postgres(report: &mut Report, url: &str, size: Size) {
    let bare = limit::Postgres::new(url).await;
    let mut db = PgConnection::connect(url).await.expect("the database");
    let server = Running::start_unaudited(url).await;
    let unaudited = Push::recorded(&server, &mut db).await;
    server.stop().await;
    let server = Running::start(url).await;
    let push = Push::recorded(&server, &mut db).await;
    server.stop().await;
    let sql = "insert into _nizhal_clients (client_id, actor) select n::text, c.actor from _nizhal_clients c, \
        generate_series(0, $1) n where c.client_id = $2";
    let clients = sqlx::query(sql).bind(i32::from(CONNECTIONS)).bind(DEVICE);
    clients.execute(&mut db).await.expect("a client for each session");

    let Push { begin, admit, mutator, record, commit, .. } = &push;
    let own = format!("{begin}{mutator}{commit}");
    let steps = [
        ("begin, commit", format!("{begin}{commit}")),
        ("and the mutator's insert, with the triggers that capture it", own.clone()),
        ("and admit", format!("{begin}{admit}{mutator}{commit}")),
        ("and record, with the audit entry: a push", format!("{begin}{admit}{mutator}{record}{commit}")),
        ("a push without the audit entry", format!("{begin}{admit}{mutator}{}{commit}", unaudited.record)),
        (
            "a push with begin and admit in one message, and record and commit",
            format!("{}{mutator}{}", together(&[begin, admit]), together(&[record, commit])),
        ),
        ("a push in one message, where no mutator could decide", together(&[begin, admit, mutator, record, commit])),
    ];
    let (mut limits, mut bare_inserts) = (Vec::new(), Vec::new());
    let mut rates = vec![Vec::new(); steps.len()];
    let replay = async |script: &str| {
        let script = format!("\\set id random(1, 9000000000000000)\n{script}");
        bare.replay(&script, &push.application, CONNECTIONS.into(), size.period).await
    };
    for _ in 0..size.rounds {
        limits.push(bare.pushes(CONNECTIONS.into(), size.period).await);
        for ((_, script), rates) in steps.iter().zip(&mut rates) {
            rates.push(replay(script).await);
        }
        db.execute("alter table entries disable trigger user").await.expect("triggers are off");
        bare_inserts.push(replay(&own).await);
        db.execute("alter table entries enable trigger user").await.expect("triggers are on");
    }
    report.section("Push, Postgres: its statements replayed by `pgbench` with 16 connections, transactions a second");
    let limit = Some(median(&limits));
    report.row("begin, the mutator's insert without triggers, commit", median(&bare_inserts), limit, "");
    for ((step, _), rates) in steps.iter().zip(&rates) {
        report.row(step, median(rates), limit, "");
    }
}

/// Sends statements without waiting for the answers between them.
fn together(statements: &[&str]) -> String {
    format!("\\startpipeline\n{}\\endpipeline\n", statements.concat())
}

impl Push {
    /// Has a device push until a push of its is in the log as a whole. Its first one is another: it makes its client's row.
    async fn recorded(server: &Running, db: &mut PgConnection) -> Self {
        for sql in ["alter system set log_statement = 'all'", "select pg_reload_conf()"] {
            db.execute(sql).await.expect("statements are logged");
        }
        let mut number = 1;
        load::push_once(server, DEVICE, number).await;
        let push = loop {
            number += 1;
            assert!(number < 1_000, "the server's statements are not in {LOG}");
            load::push_once(server, DEVICE, number).await;
            let log: String =
                sqlx::query_scalar("select pg_read_file($1)").bind(LOG).fetch_one(&mut *db).await.expect("a log");
            if let Some(push) = Self::of(&log, number) {
                break push;
            }
        };
        for sql in ["alter system reset log_statement", "select pg_reload_conf()", "select pg_rotate_logfile()"] {
            db.execute(sql).await.expect("statements are logged no more");
        }
        push
    }

    /// The push of this number, where the log has all of it.
    fn of(log: &str, number: usize) -> Option<Self> {
        let entries: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mutation = format!("{DEVICE}-{number}");
        let is_its = |entry: &&Value| entry["detail"].as_str().is_some_and(|detail| detail.contains(&mutation));
        let session = &entries.iter().find(is_its)?["pid"];
        let of_session: Vec<&Value> = entries.iter().filter(|entry| entry["pid"] == *session).collect();
        let admit = of_session.iter().position(is_its)?;
        let texts: Vec<String> = of_session[admit - 1..].iter().map(|entry| statement(entry, &mutation)).collect();
        let [begin, admit, mutator, record, commit] = texts.first_chunk()?.clone();
        assert!(commit.eq_ignore_ascii_case("commit;\n"), "a push has other steps than these: {texts:?}");
        let application = of_session.first()?["application_name"].as_str()?.to_owned();
        Some(Self { application, begin, admit, mutator, record, commit })
    }
}

/// A statement of the log for `pgbench`: arguments in the place of their numbers, and ids that differ each time.
fn statement(entry: &Value, mutation: &str) -> String {
    let message = entry["message"].as_str().unwrap_or_default();
    let mut sql = message.split_once(": ").map_or(message, |(_, sql)| sql).replace('\n', " ");
    let arguments = entry["detail"].as_str().and_then(|detail| detail.split_once(": ")).map_or("", |(_, all)| all);
    let arguments = arguments.trim_start_matches('$').split(", $").filter_map(|argument| argument.split_once(" = "));
    let arguments: Vec<(&str, &str)> = arguments.collect();
    // The highest first: `$1` begins `$12`. In two passes, because an argument may hold what looks like a number.
    for (number, _) in arguments.iter().rev() {
        sql = sql.replace(&format!("${number}"), &format!("\u{1}{number}\u{2}"));
    }
    for (number, value) in arguments {
        sql = sql.replace(&format!("\u{1}{number}\u{2}"), &value.replace(mutation, "' || :id::text || '"));
    }
    // One session is one device, so that they do not wait for each other.
    let sql = sql.replace(DEVICE, "' || :client_id::text || '");
    format!("{sql};\n")
}
