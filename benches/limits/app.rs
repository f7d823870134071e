//! The app that is measured: one synced table, one membership table, one mutator.

use actix_web::{App, HttpServer, dev::ServerHandle};
use nizhal::Server;
use nizhal::prelude::*;
use nizhal_runtime::{auth::issue_token, settings::Settings};
use std::time::Duration;

/// Signs the load's tokens.
const SECRET: &str = "a secret of thirty-two bytes and a bit more";

/// Who the load is.
#[nizhal::claims]
pub(crate) struct Claims {
    pub(crate) user_id: String,
    pub(crate) owner_id: String,
}

/// Seven columns, as a ledger would have.
#[nizhal::table(name = "entries")]
pub(crate) struct Entry {
    #[nizhal(primary_key)]
    id: String,
    shop_id: String,
    customer_id: String,
    amount: Decimal,
    reason: Option<String>,
    at: DateTimeUtc,
    #[nizhal(default = now)]
    created_at: DateTimeUtc,
}

/// Who is in which shop.
#[nizhal::table(name = "members", server_only)]
pub(crate) struct Member {
    #[nizhal(primary_key)]
    shop_id: String,
    #[nizhal(primary_key)]
    user_id: String,
}

sync_rules! {
    pub(crate) rules for Claims;

    rule my_shops(shop_id) {
        shop_id in Member.shop_id where Member.user_id == actor.user_id;
        Entry where Entry.shop_id == shop_id;
    }
}

/// One entry.
#[nizhal::args]
pub(crate) struct AddEntry {
    pub(crate) client_id: String,
    pub(crate) amount: Positive,
}

#[mutator]
pub(crate) async fn add_entry(ctx: &mut Ctx<Claims>, args: AddEntry) -> Result<Applied> {
    let entry = EntryActive {
        id: Set(args.client_id),
        shop_id: Set("s1".to_owned()),
        customer_id: Set("c1".to_owned()),
        amount: Set(args.amount.into_inner()),
        at: Set(ctx.now()),
        ..Default::default()
    };
    EntryEntity::insert(entry).exec_without_returning(ctx.db()).await?;
    Ok(Applied::done())
}

async fn seed(db: &sea_orm::DatabaseTransaction) -> Result<()> {
    let member = MemberActive { shop_id: Set("s1".to_owned()), user_id: Set("ann".to_owned()) };
    MemberEntity::insert(member).on_conflict_do_nothing().exec_without_returning(db).await?;
    Ok(())
}

/// A number from the environment, to try another.
pub(crate) fn set<T: std::str::FromStr>(name: &str, usual: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn token_of(user: &str) -> String {
    let claims = Claims { user_id: user.to_owned(), owner_id: "o".to_owned() };
    let now = nizhal_runtime::engine::Environment::now(&nizhal::SystemEnvironment);
    issue_token(SECRET.as_bytes(), &claims, Duration::from_secs(86_400), now).expect("a token")
}

/// The app, on no database yet.
pub(crate) fn declared(name: &str) -> Nizhal {
    let mut settings = Settings::from_env(name).expect("settings that fit");
    // One actor sends all of the load, and is to be answered throughout.
    settings.storage.max_answers_per_actor = u64::MAX;
    Nizhal::app(name).settings(settings).tables(tables![Entry, Member]).mutators(mutators![add_entry]).rules(rules())
}

/// A server in this process, on a free port.
pub(crate) struct Running {
    server: Server,
    http: ServerHandle,
    /// Where it listens.
    pub(crate) url: String,
    /// A token of the load's.
    pub(crate) token: String,
}

impl Running {
    pub(crate) async fn start(database: &str) -> Self {
        Self::of(declared("bench"), database).await
    }

    /// One that keeps no audit log.
    pub(crate) async fn start_unaudited(database: &str) -> Self {
        Self::of(declared("bench").audit_days(None), database).await
    }

    async fn of(app: Nizhal, database: &str) -> Self {
        let server = app
            .seed(seed)
            .database_url(database)
            .auth_secret(SECRET)
            .rate_limit(None)
            .db_pool(set("NIZHAL_BENCH_POOL", 16))
            .server()
            .await
            .expect("the server starts");
        let routes = server.routes();
        let http =
            HttpServer::new(move || App::new().configure(routes.clone())).workers(set("NIZHAL_BENCH_WORKERS", 2));
        let http = http.bind(("127.0.0.1", 0)).expect("a free port");
        let url = format!("http://{}", http.addrs()[0]);
        let running = http.run();
        let handle = running.handle();
        actix_web::rt::spawn(running);
        Self { server, http: handle, url, token: token_of("ann") }
    }

    /// A token of this user.
    #[expect(clippy::unused_self, reason = "it is this server's token")]
    pub(crate) fn token_of(&self, user: &str) -> String {
        token_of(user)
    }

    /// Runs SQL on the server's own pool, so that it counts as the app's.
    pub(crate) async fn execute(&self, sql: &str) {
        self.server.database().execute_unprepared(sql).await.expect("SQL that fits");
    }

    /// Changes one row of the shop that all users with buckets share, and one of shop `s1`, which is the load's own.
    pub(crate) async fn touch(&self, at: usize) {
        self.execute(&format!("update entries set reason = 'change {at}' where id in ('t0', 'row-1')")).await;
    }

    /// Fills shop `s1` of a SQLite file up to this many rows, in one statement.
    pub(crate) async fn fill(&self, rows: u32) {
        let sql = format!(
            "with recursive n(i) as (select (select count(*) from entries) + 1 union all select i + 1 from n where i < {rows}) insert into entries \
             (id, shop_id, customer_id, amount, reason, at) select 'row-' || i, 's1', 'customer-' || (i % 100), \
             '1234.50', 'rice and dal', '2026-01-01T00:00:00+00:00' from n"
        );
        self.execute(&sql).await;
    }

    pub(crate) async fn stop(self) {
        self.http.stop(true).await;
        self.server.shutdown().await;
    }
}
