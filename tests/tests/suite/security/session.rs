//! Invariant 18: what a stored function of the app's does to its session does not reach the next tenant.

use super::{jobs::run_jobs, world::World};
use crate::fixture::both;
use nizhal_tests::Kind;

both![inv18_what_a_function_sets_ends_with_its_mutation, inv18_what_a_job_sets_ends_with_it];

/// What one tenant leaves, and what the next one sees of it.
const LEFT: [(&str, &str); 5] = [
    ("select keep('app.tenant', 'ann')", "app.tenant"),
    ("select keep('TimeZone', 'Asia/Colombo')", "TimeZone"),
    ("select keep('row_security', 'off')", "row_security"),
    ("select keep('statement_timeout', '20s')", "statement_timeout"),
    // By a trigger, of which no statement says anything.
    ("insert into customers (id, shop_id, name) values ('left', 's1', 'left')", "app.written"),
];

const FUNCTIONS: &str = "create function keep(name text, value text) returns void language plpgsql as \
    $$ begin perform set_config(name, value, false); end $$; \
    create function hold() returns void language plpgsql as $$ begin perform pg_advisory_lock(77); end $$; \
    create function written() returns trigger language plpgsql as \
    $$ begin perform keep('app.written', new.name); perform hold(); return null; end $$; \
    create trigger written after insert on customers for each row when (new.name = 'left') execute function written()";

async fn inv18_what_a_function_sets_ends_with_its_mutation(kind: Kind) {
    if kind == Kind::Sqlite {
        // It has no functions in SQL, and its settings are pragmas, which are refused.
        return;
    }
    let mut world = World::new(kind).await;
    world.db.execute(FUNCTIONS).await;
    let free = "select cast(pg_try_advisory_xact_lock(77) as text)";
    for (leave, setting) in LEFT {
        let see = see(setting);
        let before = world.seen(&see).await;
        assert_eq!(world.ran("run", &[leave]).await, "applied", "{leave}");
        assert_eq!(world.seen(&see).await, before, "{leave}");
        assert_eq!(world.db.rows(free).await, [[Some("true".to_owned())]], "{leave}");
        world.db.execute("delete from customers where id = 'left'").await;
        // What a mutation that is refused did is rolled back.
        assert_eq!(
            world.ran("run", &[leave, "insert into customers (id, shop_id, name) values ('x', 's2', 'x')"]).await,
            "forbidden"
        );
        assert_eq!(world.seen(&see).await, before, "{leave}, refused");
    }
}

async fn inv18_what_a_job_sets_ends_with_it(kind: Kind) {
    if kind == Kind::Sqlite {
        return;
    }
    let mut world = World::new(kind).await;
    world.db.execute(FUNCTIONS).await;
    let later = ["select keep('app.tenant', 'ann')", "select hold()"];
    assert_eq!(world.ran("later", &later).await, "applied");
    // The second job has the first one's connection.
    let locks = "(select count(*) from pg_locks where locktype = 'advisory' and objid = 77)";
    let told = &format!(
        "insert into customers (id, shop_id, name) select 'told', 's1', coalesce(current_setting('app.tenant', true), '') || {locks}"
    );
    assert_eq!(world.ran("later", &[told]).await, "applied");
    run_jobs(&world).await;
    let told = world.db.rows("select name from customers where id = 'told'").await;
    assert_eq!(told, [[Some("0".to_owned())]]);
}

/// SQL that writes down what a setting is.
fn see(setting: &str) -> String {
    format!("update customers set name = coalesce(current_setting('{setting}', true), '') where id = 'c1'")
}

impl World {
    /// What the next mutation sees of a setting.
    async fn seen(&mut self, see: &str) -> String {
        assert_eq!(self.ran("run", &[see]).await, "applied", "{see}");
        let name = self.db.rows("select name from customers where id = 'c1'").await;
        name[0][0].clone().expect("a name")
    }
}
