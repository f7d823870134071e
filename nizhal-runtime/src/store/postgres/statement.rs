//! The statement of a pull: one text for a rule set, and in one snapshot all that an answer says.
//!
//! Its parameters enter by one materialized CTE, `args`, and nothing else names them: so the planner cannot look at their
//! values, the plan for any values is the plan for these, and Postgres settles for the one generic plan after five runs. With
//! parameters in plain sight it would think that it could do better and plan each pull anew, which costs more than to run it.
//!
//! Every scan is a `cross join lateral (… order by … limit …)`: the limit keeps the planner from pulling it up, so that it has
//! to be done for each bucket, or each tombstone, by the index that is named beside it.
//!
//! Decision: book/src/decisions/pulling.md#a-cte-hides-the-parameters-of-the-pull-statement

use super::{encode, trigger::triggers_sql};
use crate::schema::Schema;
use crate::store::{
    drift::watched,
    scope::{self, ScopeSql},
    sql::{self, DELETED_AT, Dialect, VERSION, col, quote},
};
use nizhal_core::{ClaimOf, ParamSource, Rule, RuleTable, SqlType, TableDesc};

const DIALECT: Dialect = Dialect::Postgres;
/// The most key parts a table may have; a lane carries as many a slot.
pub(super) const KEY_PARTS: usize = 4;

/// The kind of a row of the answer; but for the clock, in the order they come.
pub(super) mod kind {
    /// The horizon, in an idle probe.
    pub(crate) const CLOCK: i32 = -1;
    /// The control row.
    pub(crate) const CONTROL: i32 = 0;
    /// A parameter's values.
    pub(crate) const MEMBERS: i32 = 1;
    /// The client that asks.
    pub(crate) const CLIENT: i32 = 2;
    /// A change.
    pub(crate) const CHANGE: i32 = 3;
    /// A row that lives although there is a tombstone.
    pub(crate) const IMAGE: i32 = 4;
}

/// The statement, and what its reader must know.
#[derive(Debug)]
pub(super) struct PullSql {
    /// The memberships alone, for pushes.
    pub(super) scope: ScopeSql,
    /// Rows of `(kind, lane, slot, v, w, k, r, flag, t)`.
    pub(super) text: String,
    /// Such rows of the header alone, and the horizon: all that a pull needs when the horizon is where its lanes are.
    pub(super) idle_probe: String,
    /// The synced tables; a table's place is its slot.
    pub(super) tables: Vec<&'static TableDesc>,
    /// What stands before each of their columns' values.
    pub(super) before: Vec<Vec<Vec<u8>>>,
    /// `(rule, number of parameters)` in the order in which their arrays are bound.
    pub(super) rules: Vec<(&'static str, usize)>,
    /// The claims that are parameters, in the order in which they are bound.
    pub(super) claims: Vec<ClaimOf>,
}

impl PullSql {
    pub(super) fn new(schema: &Schema) -> Self {
        let (rules, tables) = (schema.rules(), schema.synced());
        let writer = || Writer { tables: &tables, args: Args::default(), ctes: Vec::new() };
        let (text, claims) = writer().statement(rules, &triggers_sql(&watched(schema)).whole);
        let idle_probe = writer().idle_probe(rules);
        let before = tables.iter().map(|table| before(table)).collect();
        let rules = rules.iter().map(|rule| (rule.name, rule.params.len())).collect();
        Self { scope: ScopeSql::new(DIALECT, schema.rules()), text, idle_probe, tables, before, rules, claims }
    }
}

/// The parameters, each a column of the CTE `args`.
#[derive(Default)]
struct Args(Vec<String>);

impl Args {
    /// One parameter more; gives the expression that reads it.
    fn add(&mut self, sql: &str) -> String {
        let at = self.0.len() + 1;
        self.0.push(format!("${at}::{sql} as a{at}"));
        format!("(select a{at} from args)")
    }
}

struct Writer<'a> {
    tables: &'a [&'static TableDesc],
    args: Args,
    ctes: Vec<String>,
}

const CONTROL: &str = "select 0 as kind, 0 as lane, 0 as slot, collected as v, 0::int8 as w, array[epoch, secret, home, rules, generations] as k, \
    null::record as r, null::bool as flag, null::text as t from _nizhal_control where id = 1";
const CLOCK: &str =
    "select -1, 0, 0, h.clock, h.horizon, array[h.lives, h.place::text], null, null, null from _nizhal_horizon() h";

impl Writer<'_> {
    /// The parameters are, in order: to; the lanes' numbers, limits and floors; for each lane and slot the version to read
    /// after, for each lane, slot and key part the part; for each lane the tombstone to read after; client, actor; the number of
    /// the gained buckets' lane; the most buckets of a rule; the membership queries' claims; the claims that are parameters; for each rule the lanes of the
    /// buckets held, and of each parameter its values.
    fn statement(mut self, rules: &[Rule], fingerprint: &str) -> (String, Vec<ClaimOf>) {
        let to = self.args.add("int8");
        let lanes = self.lanes();
        self.ctes.push(lanes);
        let client = self.client(&self.above(rules, &to));
        let (gained, most) = (self.args.add("int4"), self.args.add("int8"));
        // Of the very moment that the rows are read in.
        let mut parts = vec![CONTROL.replace("generations]", &format!("generations, ({fingerprint})]"))];
        parts.extend(self.memberships(rules));
        parts.push(client);
        let mut claims = Vec::new();
        let scopes: Vec<String> =
            rules.iter().enumerate().map(|(at, rule)| self.scope(at, rule, &mut claims)).collect();
        for (at, (rule, scope)) in rules.iter().zip(scopes).enumerate() {
            let buckets = self.buckets(at, rule, &scope, (&gained, &most));
            self.ctes.push(buckets);
        }
        let gone = self.gone(rules, &to);
        self.ctes.push(gone);
        let synced =
            || rules.iter().enumerate().flat_map(|(at, rule)| rule.tables.iter().map(move |table| (at, table)));
        let mut changes: Vec<String> = synced().map(|(at, table)| self.rows(at, table, &to)).collect();
        changes.push(
            "select g.slot, g.v, array[g.id], null::record, g.deleted, g.client_key from gone g where g.lane = l.lane"
                .to_owned(),
        );
        parts.push(format!(
            "select 3, l.lane, x.slot, x.v, 0, x.k, x.r, x.flag, x.t from lane l cross join lateral (\nselect u.* from (\n{}\n) \
             u(slot, v, k, r, flag, t) order by u.v, u.slot, u.k collate \"C\" limit l.n) x",
            changes.join("\nunion all\n")
        ));
        parts.extend(synced().map(|(at, table)| self.images(at, table)));
        (self.text(&parts), claims)
    }

    /// The parameters are: client, actor; the membership queries' claims.
    ///
    /// The statement's snapshot is taken before the horizon is read, not after it as `clock.rs` demands, so no change may be read
    /// in it. It need not: where nothing is above the horizon now, nothing was above it in the snapshot either, and a device that
    /// has all up to there lacks nothing.
    fn idle_probe(mut self, rules: &[Rule]) -> String {
        let client = self.client("false");
        let mut parts = vec![CONTROL.to_owned(), CLOCK.to_owned()];
        parts.extend(self.memberships(rules));
        parts.push(client);
        self.text(&parts)
    }

    fn text(&self, parts: &[String]) -> String {
        let args = format!("args as materialized (select {})", self.args.0.join(", "));
        let ctes: Vec<&str> = std::iter::once(&args).chain(&self.ctes).map(String::as_str).collect();
        format!("with {}\n{}", ctes.join(",\n"), parts.join("\nunion all\n"))
    }

    /// The client that asks, and whether it was outrun.
    fn client(&mut self, outrun: &str) -> String {
        let (client, actor) = (self.args.add("text"), self.args.add("text"));
        format!(
            "select 2, 0, 0, last_mutation_id, last_version, null, null, {outrun}, null from _nizhal_clients \
             where client_id = {client} and actor = {actor}"
        )
    }

    /// What each parameter takes from its membership table.
    fn memberships(&mut self, rules: &[Rule]) -> Vec<String> {
        let mut parts = Vec::new();
        for (at, rule) in rules.iter().enumerate() {
            for (param, _) in members(rule) {
                let membership = self.membership(rule, at, param);
                self.ctes.push(membership);
                parts.push(format!("select 1, {at}, {param}, 0, 0, array_agg(v), null, null, null from m{at}_{param}"));
            }
        }
        parts
    }

    /// Whether some row of the actor's buckets was written above the horizon: the device does not get it yet, and what it had
    /// before may have been written by a mutation of its own. Asked only where the clock has gone further than the horizon.
    fn above(&self, rules: &[Rule], to: &str) -> String {
        let mut above = Vec::new();
        for (at, rule) in rules.iter().enumerate() {
            for synced in &rule.tables {
                let table = synced.table;
                let mut conditions = in_bucket(synced);
                let version = format!("c.{}", quote(VERSION));
                conditions.push(format!("{version} > {to}"));
                // In order, for a planner that hopes to meet such a row soon would read the table for it.
                above.push(format!(
                    "exists (select 1 from b{at} p cross join lateral (select 1 from {} c where {} order by {version} limit 1) x)",
                    quote(table.name),
                    conditions.join(" and "),
                ));
            }
            above.push(format!(
                "exists (select 1 from b{at} p cross join lateral (select 1 from _nizhal_tombstones t where t.rule = {} and \
                 t.bucket = p.key and t.version > {to} order by t.version limit 1) x)",
                sql::literal(rule.name),
            ));
        }
        if above.is_empty() {
            above.push("false".to_owned());
        }
        format!("case when (select last_value from _nizhal_clock) > {to} then {} else false end", above.join(" or "))
    }

    /// The lanes that have something to read.
    fn lanes(&mut self) -> String {
        let (numbers, limits, floors) = (self.args.add("int4[]"), self.args.add("int8[]"), self.args.add("int8[]"));
        let (versions, keys) = (self.args.add("int8[]"), self.args.add("text[]"));
        let gone = [self.args.add("int8[]"), self.args.add("text[]"), self.args.add("text[]")].join(", ");
        let slice =
            |array: &str, size: usize| format!("({array})[((u.at - 1) * {size} + 1)::int4 : (u.at * {size})::int4]");
        let slots = self.tables.len();
        format!(
            "lane as materialized (select u.*, {} as after_v, {} as after_k from unnest({numbers}, {limits}, {floors}, {gone}) \
             with ordinality as u(lane, n, floor, gone_v, gone_tbl, gone_id, at))",
            slice(&versions, slots),
            slice(&keys, slots * KEY_PARTS),
        )
    }

    /// What a membership table gives; by its index on the claims' columns.
    fn membership(&mut self, rule: &Rule, at: usize, param: usize) -> String {
        let desc = &rule.params[param];
        let ParamSource::Member { table, column, filters } = &desc.source else {
            unreachable!("only memberships are asked for")
        };
        let conditions = scope::conditions(
            DIALECT,
            table,
            self.tables.iter().any(|synced| synced.name == table.name),
            filters,
            |_, column| format!("{}::{}", self.args.add("text"), column.sql.postgres()),
        );
        let value = col("m", &table.columns[*column]);
        // A column's own collation must not follow its values into the scans, whose indexes have that of their own column.
        format!(
            "m{at}_{param} as materialized (select distinct {} collate \"default\" as v from {} m where {conditions} and {value} \
             is not null)",
            DIALECT.text_of(&value, desc.sql),
            quote(table.name),
        )
    }

    /// The rule's buckets of now, as a `from` list and its values.
    fn scope(&mut self, at: usize, rule: &Rule, claims: &mut Vec<ClaimOf>) -> String {
        let (mut values, mut from, mut present) = (Vec::new(), Vec::new(), Vec::new());
        for (param, desc) in rule.params.iter().enumerate() {
            match &desc.source {
                ParamSource::Claim(claim) => {
                    claims.push(claim.clone());
                    let value = self.args.add("text");
                    present.push(format!("{value} is not null"));
                    values.push(value);
                }
                ParamSource::Member { .. } => {
                    from.push(format!("m{at}_{param}"));
                    values.push(format!("m{at}_{param}.v"));
                }
            }
        }
        let mut sql = [vec!["null::int4".to_owned(), "true".to_owned()], values].concat().join(", ");
        if !from.is_empty() {
            sql.push_str(&format!(" from {}", from.join(" cross join ")));
        }
        if !present.is_empty() {
            sql.push_str(&format!(" where {}", present.join(" and ")));
        }
        format!("select {sql}")
    }

    /// The rule's buckets of now, each with its lane. Both lists are put together and grouped, because a join of two lists whose
    /// lengths the planner cannot know might go over one of them for each of the other. One more than an actor may hold is enough:
    /// the engine then refuses all.
    fn buckets(&mut self, at: usize, rule: &Rule, scope: &str, (gained, most): (&str, &str)) -> String {
        let params: Vec<String> = (0..rule.params.len()).map(|param| format!("p{param}")).collect();
        let arrays: Vec<String> =
            std::iter::once("int4[]").chain(params.iter().map(|_| "text[]")).map(|sql| self.args.add(sql)).collect();
        let columns: String = params.iter().map(|param| format!(", {param}")).collect();
        let key = if params.is_empty() { "'[]'".to_owned() } else { DIALECT.json_texts(&params) };
        let group = if params.is_empty() { String::new() } else { format!("group by {}", params.join(", ")) };
        format!(
            "b{at} as materialized (select coalesce(min(lane), {gained}) as lane{columns}, {key} as key from ({scope} union all \
             select h.lane, false{columns} from unnest({}) as h(lane{columns})) u(lane, mine{columns}) {group} having bool_or(mine) limit {most})",
            arrays.join(", "),
        )
    }

    /// The first tombstones of each lane, by `_nizhal_tombstones (rule, bucket, version, tbl, id)`.
    fn gone(&self, rules: &[Rule], to: &str) -> String {
        let names: Vec<String> = self.tables.iter().map(|table| sql::literal(table.name)).collect();
        let names = format!("array[{}]::text[]", names.join(", "));
        let mut buckets: Vec<String> = rules
            .iter()
            .enumerate()
            .map(|(at, rule)| format!("select {}, key from b{at} where lane = l.lane", sql::literal(rule.name)))
            .collect();
        if buckets.is_empty() {
            buckets.push("select ''::text, ''::text where false".to_owned());
        }
        format!(
            "gone as materialized (select l.lane, x.* from lane l cross join lateral (select {} + array_position({names}, t.tbl) - 1 \
             as slot, t.* from ({}) p(rule, bucket) cross join lateral (select t.version as v, t.tbl, t.id, t.kind = 'delete' as \
             deleted, t.client_key from _nizhal_tombstones t where t.rule = p.rule and t.bucket = p.bucket and (t.version, t.tbl, \
             t.id) > (l.gone_v, l.gone_tbl, l.gone_id) and t.version > l.floor and t.version <= {to} and t.tbl = any({names}) \
             order by t.version, t.tbl, t.id limit l.n) t order by t.v, t.tbl, t.id limit l.n) x)",
            self.tables.len(),
            buckets.join(" union all "),
        )
    }

    /// The first rows of each of the lane's buckets, by the table's index `(scope, version, key)`.
    fn rows(&self, at: usize, synced: &RuleTable, to: &str) -> String {
        let table = synced.table;
        let slot = slot_of(self.tables, table);
        let (version, keys) = (format!("c.{}", quote(VERSION)), sort_keys(table).join(", "));
        let after: Vec<String> =
            (0..table.key.len()).map(|part| format!("l.after_k[{}]", slot * KEY_PARTS + part + 1)).collect();
        let mut conditions = in_bucket(synced);
        conditions.extend(due(synced, &format!("l.after_v[{}]", slot + 1), &after, to));
        format!(
            "select {slot}, x.v, x.k, x.r, null::bool, null::text from b{at} p cross join lateral (select {version} as v, \
             array[{keys}] as k, {} as r from {} c where {} order by {version}, {keys} limit l.n) x where p.lane = l.lane",
            record(table),
            quote(table.name),
            conditions.join(" and "),
        )
    }

    /// The rows among the tombstones that some bucket of the rule shows, by primary key; the tombstones' own collation would keep
    /// that index from being used.
    fn images(&self, at: usize, synced: &RuleTable) -> String {
        let table = synced.table;
        let slot = slot_of(self.tables, table);
        let keys: Vec<_> = table.key_columns().collect();
        let same: Vec<String> = keys
            .iter()
            .enumerate()
            .map(|(part, column)| {
                let id = if keys.len() == 1 { "g.id".to_owned() } else { format!("(g.id::jsonb ->> {part})") };
                let same = format!("{} = {}", col("c", column), Dialect::value_of(&id, column.sql));
                match column.sql {
                    // 1.5 and 1.50 are equal, and two keys on devices.
                    SqlType::Numeric => format!("{same} and {} = {id}", DIALECT.text_of(&col("c", column), column.sql)),
                    _ => same,
                }
            })
            .collect();
        let parts: Vec<String> = keys.iter().map(|column| DIALECT.text_of(&col("c", column), column.sql)).collect();
        format!(
            "select 4, {at}, {slot}, x.v, 0, g.id || x.k, x.r, null, x.t from (select distinct id collate \"default\" as id from gone where slot = {}) g \
             cross join lateral (select c.{} as v, array[{}] as k, {} as r, {} as t from {} c where {} and {} limit 1) x",
            self.tables.len() + slot,
            quote(VERSION),
            parts.join(", "),
            record(table),
            DIALECT.bucket_key(synced, "c"),
            quote(table.name),
            same.join(" and "),
            DIALECT.visible(synced, "c"),
        )
    }
}

/// The parameters that membership tables give.
fn members(rule: &Rule) -> impl Iterator<Item = (usize, &ParamSource)> {
    let sources = rule.params.iter().map(|param| &param.source).enumerate();
    sources.filter(|(_, source)| matches!(source, ParamSource::Member { .. }))
}

/// The columns that a device sees as one value, each of its declared type: a record names a domain's own type, which nobody can
/// encode, and not the one below it. A document is one of `json`, whose columns hold texts that `jsonb` refuses.
fn record(table: &TableDesc) -> String {
    let column = |(name, sql): &(&str, SqlType)| {
        let sql_type = match sql {
            SqlType::Json => "json",
            SqlType::Array(SqlType::Json) => "json[]",
            _ => sql.postgres(),
        };
        format!("c.{}::{sql_type}", quote(name))
    };
    let columns: Vec<String> = sql::wire_columns(table).iter().map(column).collect();
    format!("row({})", columns.join(", "))
}

/// What stands before each value of a row's object.
pub(super) fn before(table: &TableDesc) -> Vec<Vec<u8>> {
    encode::before(&sql::wire_columns(table).iter().map(|(name, _)| *name).collect::<Vec<_>>())
}

fn slot_of(tables: &[&'static TableDesc], table: &TableDesc) -> usize {
    tables.iter().position(|candidate| candidate.name == table.name).unwrap_or_default()
}

/// The parts of a row's key, as the table's index `(scope, version, key)` has them.
pub(super) fn sort_keys(table: &TableDesc) -> Vec<String> {
    table.key_columns().map(|column| DIALECT.sort_text(&col("c", column), column.sql)).collect()
}

/// That a row `c` is shown, comes after this version and these parts of a key, and not after `to`.
pub(super) fn due(synced: &RuleTable, version_after: &str, key_after: &[String], to: &str) -> Vec<String> {
    let (version, keys) = (format!("c.{}", quote(VERSION)), sort_keys(synced.table).join(", "));
    let mut conditions = vec![
        format!("({version}, {keys}) > ({version_after}, {})", key_after.join(", ")),
        format!("{version} <= {to}"),
        // Not plainly `is null`: of a table without statistics Postgres would take it to leave one row in two hundred, so next to
        // none, and then it might read a bucket to its end and sort it, at every page.
        format!("(c.{} is null)::int4 <> 0", quote(DELETED_AT)),
    ];
    conditions.extend(synced.filters.iter().map(|filter| DIALECT.filter(synced.table, filter, "c")));
    conditions
}

/// That a row `c` is in the bucket `p`.
pub(super) fn in_bucket(synced: &RuleTable) -> Vec<String> {
    let columns = synced.scope.iter().map(|&column| &synced.table.columns[column]).enumerate();
    columns.map(|(param, column)| format!("{} = p.p{param}::{}", col("c", column), column.sql.postgres())).collect()
}
