//! An app made ready: both versions of its schema, what each user may see, and a database to copy.

use crate::app::{App, Effect};
use crate::args::{self, Draw};
use crate::oracle::{self, Shown};
use crate::plain;
use crate::workdir::Workdir;
use nizhal_core::sql::literal;
use nizhal_core::{ColumnDesc, MutatorEntry, Principal, Rule, SqlType, TableDesc};
use nizhal_runtime::store::{Store, StoreSettings};
use schemars::SchemaGenerator;
use sea_orm::ConnectionTrait;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The column that the next version of an app's schema adds.
pub(crate) const ADDED: &str = "sim_added";

/// What depends on the app's types.
trait Typed {
    fn args(&self, mutator: &str, draw: &mut Draw<'_>) -> Option<Value>;
    fn effect(&self, mutator: &str, args: &Value) -> Option<Effect>;
    fn fails(&self, mutator: &str, args: &Value) -> bool;
}

impl<A: App> Typed for A {
    fn args(&self, mutator: &str, draw: &mut Draw<'_>) -> Option<Value> {
        App::args(self, mutator, draw)
    }
    fn effect(&self, mutator: &str, args: &Value) -> Option<Effect> {
        App::effect(self, mutator, args)
    }
    fn fails(&self, mutator: &str, args: &Value) -> bool {
        App::fails(self, mutator, args)
    }
}

/// One version of the schema.
pub(crate) struct Version {
    pub(crate) tables: Vec<&'static TableDesc>,
    pub(crate) server: Arc<nizhal_runtime::schema::Schema>,
    pub(crate) device: Arc<nizhal_client::schema::Schema>,
}

/// An app made ready.
pub(crate) struct Fixture<'a> {
    app: &'a dyn Typed,
    pub(crate) workdir: Workdir,
    pub(crate) versions: [Version; 2],
    pub(crate) rules: Vec<Rule>,
    pub(crate) mutators: Vec<MutatorEntry>,
    schemas: Vec<Value>,
    definitions: Map<String, Value>,
    /// Those with honest devices first, then the hostile one.
    pub(crate) users: Vec<Principal>,
    /// How many of them have honest devices.
    pub(crate) honest: usize,
    /// The user of the hostile device.
    pub(crate) hostile: Option<usize>,
    /// Tables that some mutator writes wherever its own code lets it.
    pub(crate) privileged: Vec<&'static str>,
    pub(crate) shown: Shown,
    pub(crate) untouched: Vec<&'static str>,
    /// The tables that are replayed.
    pub(crate) replayed: Vec<&'static TableDesc>,
    /// The table that the next version of the schema gives a column.
    pub(crate) grown: Option<&'static str>,
    template: PathBuf,
}

impl<'a> Fixture<'a> {
    /// Makes an app ready.
    ///
    /// # Panics
    /// When its parts do not fit, with what does not.
    pub(crate) async fn new<A: App>(app: &'a A) -> Self {
        let (tables, rules, mutators) = (app.tables(), app.rules().into_inner(), app.mutators());
        let grown = rules.iter().flat_map(|rule| &rule.tables).map(|line| line.table.name).min();
        let (next_tables, next_rules) = grow(grown, &tables, &rules);
        let version = |tables: Vec<&'static TableDesc>, rules: Vec<Rule>| {
            let server = nizhal_runtime::schema::Schema::new(tables.clone(), rules.clone(), mutators.clone())
                .and_then(|schema| schema.with_jobs(app.jobs()));
            let device = nizhal_client::schema::Schema::new(&tables, rules, mutators.clone());
            let server = Arc::new(server.unwrap_or_else(|error| panic!("the app's parts do not fit: {error}")));
            let device = Arc::new(device.unwrap_or_else(|error| panic!("the app's parts do not fit: {error}")));
            Version { tables, server, device }
        };
        let versions = [version(tables.clone(), rules.clone()), version(next_tables, next_rules)];
        let mut generator = SchemaGenerator::default();
        let schemas = mutators.iter().map(|entry| (entry.schema)(&mut generator).to_value()).collect();
        let definitions = generator.definitions().clone();
        let honest = app.users();
        assert!(!honest.is_empty() && !mutators.is_empty(), "the app needs users and mutators");
        let (hostile, honest_count) = (app.hostile(), honest.len());
        let hostile_at = hostile.is_some().then_some(honest_count);
        let users: Vec<Principal> =
            honest.into_iter().chain(hostile).map(|claims| Principal::new(claims, None)).collect();
        let privileged = mutators.iter().flat_map(|entry| entry.desc.privileged.iter().copied()).collect();
        let workdir = Workdir::new();
        let template = workdir.shared("template.db");
        let store = connect(&template, &versions[0]).await;
        let provisioned = store.provision().await;
        provisioned.unwrap_or_else(|error| panic!("the app's tables cannot be made: {error:?}"));
        for sql in app.seed() {
            let filled = store.connection().execute_unprepared(&sql).await;
            filled.unwrap_or_else(|error| panic!("the app's seed fails at `{sql}`: {error}"));
        }
        store.close().await;
        let shown = oracle::Shown::new(&rules, &users);
        let untouched = app.untouched();
        Self {
            app,
            workdir,
            versions,
            rules,
            mutators,
            schemas,
            definitions,
            users,
            honest: honest_count,
            hostile: hostile_at,
            privileged,
            shown,
            untouched,
            replayed: plain::replayed(&tables),
            grown,
            template,
        }
    }

    /// Makes arguments for a mutator.
    pub(crate) fn args(&self, mutator: usize, draw: &mut Draw<'_>) -> Value {
        let own = self.app.args(self.mutators[mutator].desc.name, draw);
        own.unwrap_or_else(|| args::args(&self.schemas[mutator], &self.definitions, draw))
    }

    pub(crate) fn effect(&self, mutator: &str, args: &Value) -> Option<Effect> {
        self.app.effect(mutator, args)
    }

    pub(crate) fn fails(&self, mutator: &str, args: &Value) -> bool {
        self.app.fails(mutator, args)
    }

    /// SQL that is true of the answers that the server has given to honest devices.
    pub(crate) fn is_honest(&self) -> String {
        self.hostile.map_or_else(|| "true".to_owned(), |at| format!("actor <> {}", literal(self.users[at].key())))
    }

    /// Puts a copy of the filled database there.
    pub(crate) fn new_database(&self, path: &Path) {
        std::fs::copy(&self.template, path).unwrap_or_else(|error| panic!("{} is not copied: {error}", path.display()));
    }
}

/// Connects to a server's database.
pub(crate) async fn connect(path: &Path, version: &Version) -> Store {
    let settings = StoreSettings { url: format!("sqlite://{}", path.display()), pool: 1 };
    let store = Store::connect(&settings, version.server.clone()).await;
    store.unwrap_or_else(|error| panic!("the server's database is not opened: {error:?}"))
}

/// The next version: this table has a column more.
fn grow(name: Option<&str>, tables: &[&'static TableDesc], rules: &[Rule]) -> (Vec<&'static TableDesc>, Vec<Rule>) {
    let grow = |table: &'static TableDesc| -> &'static TableDesc {
        if Some(table.name) != name {
            return table;
        }
        let added = ColumnDesc { sql: SqlType::Text, nullable: true, ..ColumnDesc::of::<String>(ADDED) };
        // Descriptions are static, as macros write them; a test makes these once.
        let columns: &'static [ColumnDesc] = Vec::leak(table.columns.iter().copied().chain([added]).collect());
        Box::leak(Box::new(TableDesc { columns, ..*table }))
    };
    let mut next = rules.to_vec();
    for line in next.iter_mut().flat_map(|rule| &mut rule.tables) {
        line.table = grow(line.table);
    }
    (tables.iter().map(|table| grow(table)).collect(), next)
}
