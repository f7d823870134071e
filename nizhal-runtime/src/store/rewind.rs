//! The statements that take a space back to before a place, of each replayed table; written once.
//!
//! Rows that a mutation wrote at that place or later are deleted, and the earliest image of each is put in its place (`replay.rs`). What the
//! rows were until now is kept beside the images, at a place before all others ([`NOW`]), with their versions: a row that ends as it was gets
//! its version back, so that no device is sent it again. And so do its tombstones, since a pull sends a row that has a tombstone of late: they
//! are kept under another rule's name ([`COPY`]), and where there was none, that is kept too ([`NONE`]).

use super::{
    replay::{Images, images},
    sql::{Dialect, UPDATED_AT, VERSION, literal, quote},
};
use crate::schema::Schema;

/// The place of what a row is until now.
const NOW: &str = "''";

/// Begins the rule of a tombstone's copy; no rule's name begins so.
const COPY: char = '~';

/// The kind of a copy where there was no tombstone.
const NONE: &str = "'none'";

/// The statements of one table, each for the space `$1`; those with a place have it as `$2`.
#[derive(Debug)]
pub(super) struct Rewind {
    /// The table.
    pub(super) table: &'static str,
    /// The rule in whose buckets it is replayed.
    pub(super) rule: &'static str,
    /// Keeps what the rows and their tombstones are until now.
    pub(super) keep: Vec<String>,
    /// Takes all rows away that were written at the place or later.
    pub(super) take_away: String,
    /// Puts back what was there before: the earliest image of each row.
    pub(super) put_back: String,
    /// Forgets the images from that place on.
    pub(super) forget: String,
    /// Gives the rows that are as they were their versions back, and their tombstones.
    pub(super) net: Vec<String>,
    /// Forgets what was kept of rows.
    pub(super) let_go: String,
    /// Finds a row that the mutation of the place wrote, and that is not in its space, or was not; none where the rule gives all rows to
    /// a bucket, since the write set names it then.
    pub(super) strays: Option<String>,
    /// Forgets the images of places that are settled, of all spaces.
    pub(super) forget_settled: String,
}

/// The statements of all replayed tables.
pub(super) fn rewinds(dialect: Dialect, schema: &Schema) -> Vec<Rewind> {
    images(dialect, schema).iter().map(|images| images.rewind(schema)).collect()
}

impl Images<'_> {
    fn rewind(&self, schema: &Schema) -> Rewind {
        let (name, on) = (&self.name, quote(self.table().name));
        let written = format!("select 1 from {name} u where u.space = $1 and u.pos >= $2 and");
        let columns = self.columns().join(", ");
        let of = |row: &str| self.columns().iter().map(|column| format!("{row}.{column}")).collect::<Vec<_>>();
        let there = format!(
            "insert into {name} (space, pos, present, {columns}, {VERSION}, {UPDATED_AT}) select $1, {NOW}, {}, {}, t.{VERSION}, \
             t.{UPDATED_AT} from {on} t where exists ({written} {})",
            self.dialect.boolean(true),
            of("t").join(", "),
            self.same_key("u", "t"),
        );
        let keys = |row: &str| self.key_of(row).join(", ");
        let gone = format!(
            "insert into {name} (space, pos, present, {}) select distinct $1, {NOW}, {}, {} from {name} u where u.space = $1 and u.pos >= $2 \
             and not exists (select 1 from {on} t where {})",
            self.table().key_columns().map(|key| quote(key.name)).collect::<Vec<_>>().join(", "),
            self.dialect.boolean(false),
            keys("u"),
            self.same_key("u", "t"),
        );
        let take_away = format!("delete from {on} as t where exists ({written} {})", self.same_key("u", "t"));
        let put_back = format!(
            "insert into {on} ({columns}) select {} from {name} u where u.space = $1 and u.pos >= $2 and u.present and not exists \
             (select 1 from {name} e where e.space = u.space and {} and e.pos >= $2 and e.pos < u.pos)",
            of("u").join(", "),
            self.same_key("e", "u"),
        );
        let is_same = match self.dialect {
            // Byte by byte, whatever the types and the collations.
            Dialect::Postgres => {
                let row = |of: Vec<String>| format!("row({})::record", of.join(", "));
                format!("{} operator(pg_catalog.*=) {}", row(of("t")), row(of("u")))
            }
            Dialect::Sqlite => {
                let same = of("t").into_iter().zip(of("u")).map(|(t, u)| format!("{t} is ({u} collate binary)"));
                same.collect::<Vec<_>>().join(" and ")
            }
        };
        let net = format!(
            "update {on} as t set {VERSION} = u.{VERSION}, {UPDATED_AT} = u.{UPDATED_AT} from {name} u \
             where u.space = $1 and u.pos = {NOW} and u.present and {} and {is_same}",
            self.same_key("u", "t"),
        );
        let now = format!("select 1 from {on} t where {}", self.same_key("u", "t"));
        let same = format!(
            "select {} from {name} u where u.space = $1 and u.pos = {NOW} \
             and (u.present and exists ({now} and {is_same}) or not u.present and not exists ({now}))",
            self.dialect.key_text(self.table(), "u"),
        );
        let (tombstones, net_tombstones): (Vec<_>, Vec<_>) = self.tombstones(schema, &same).into_iter().unzip();
        Rewind {
            table: self.table().name,
            rule: self.replayed.buckets[0].0,
            keep: [there, gone].into_iter().chain(tombstones).collect(),
            take_away,
            put_back,
            forget: format!("delete from {name} where space = $1 and pos >= $2"),
            net: [net].into_iter().chain(net_tombstones.concat()).collect(),
            let_go: format!("delete from {name} where space = $1 and pos = {NOW}"),
            strays: self.strays(),
            forget_settled: format!(
                "delete from {name} where exists (select 1 from _nizhal_spaces s where s.space = {name}.space and {name}.pos <= s.settled)"
            ),
        }
    }

    /// What keeps the tombstones of rows, and what makes those of the `same` rows again what they were; for each rule that shows the table. By
    /// the primary key of tombstones.
    fn tombstones(&self, schema: &Schema, same: &str) -> Vec<(String, [String; 3])> {
        let (images, table) = (&self.name, self.table());
        let lines = schema.rules().iter().flat_map(|rule| rule.tables.iter().map(move |line| (rule.name, line)));
        let lines = lines.filter(|(_, line)| {
            // An image does not have what the database computes.
            line.table.name == table.name && line.scope.iter().all(|&at| table.columns[at].generated.is_none())
        });
        let tombstones = lines.map(|(rule, line)| {
            let (copy, rule, on) = (literal(&format!("{COPY}{rule}")), literal(rule), literal(table.name));
            let keep = format!(
                "insert into _nizhal_tombstones (rule, bucket, tbl, id, client_key, kind, version, at) select {copy}, w.bucket, {on}, w.id, \
                 g.client_key, coalesce(g.kind, {NONE}), coalesce(g.version, 0), coalesce(g.at, {}) \
                 from (select distinct {} as bucket, {} as id from {images} u where u.space = $1 and (u.pos >= $2 or u.pos = {NOW}) \
                 and u.present) w left join _nizhal_tombstones g on g.rule = {rule} and g.bucket = w.bucket and g.tbl = {on} and g.id = w.id \
                 where w.bucket is not null",
                match self.dialect {
                    Dialect::Postgres => "now()",
                    Dialect::Sqlite => "''",
                },
                self.dialect.bucket_key(line, "u"),
                self.dialect.key_text(table, "u"),
            );
            let of_same = format!("w.rule = {copy} and w.tbl = {on} and w.id in ({same})");
            let again = format!(
                "update _nizhal_tombstones as g set client_key = w.client_key, kind = w.kind, version = w.version, at = w.at \
                 from _nizhal_tombstones w where {of_same} and w.kind <> {NONE} and g.rule = {rule} and g.bucket = w.bucket \
                 and g.tbl = w.tbl and g.id = w.id"
            );
            let none = format!(
                "delete from _nizhal_tombstones where (rule, bucket, tbl, id) in \
                 (select {rule}, w.bucket, w.tbl, w.id from _nizhal_tombstones w where {of_same} and w.kind = {NONE})"
            );
            let let_go = format!("delete from _nizhal_tombstones where rule = {copy} and tbl = {on} and $1 <> ''");
            (keep, [again, none, let_go])
        });
        tombstones.collect()
    }

    /// Finds rows that the mutation of the place `$2` wrote, and that are not in its space `$1`, or were not; none where the rule gives all
    /// rows to a bucket, since the write set names it then.
    fn strays(&self) -> Option<String> {
        let [(_, line)] = self.replayed.buckets[..] else { return None };
        if line.filters.is_empty() {
            return None;
        }
        let space = |row: &str| self.spaces_of(row).concat();
        let is_kept = line.scope.iter().all(|&at| line.table.columns[at].generated.is_none());
        let was =
            if is_kept { format!("u.present and {} is distinct from u.space or ", space("u")) } else { String::new() };
        Some(format!(
            "select 1 as found from {} u left join {} t on {} where u.space = $1 and u.pos = $2 and ({was}t.{} is not null and {} \
             is distinct from u.space) limit 1",
            self.name,
            quote(self.table().name),
            self.same_key("u", "t"),
            self.table().key_columns().map(|key| quote(key.name)).next().unwrap_or_default(),
            space("t"),
        ))
    }
}
