//! Tables whose mutations take effect in the order they were made (`merge = "replay"`).
//!
//! Mutations that are replayed are in one order within a *space*: one bucket of one rule. The order is that of their positions, a text that
//! begins with the mutation's stamp ([`Place`]). `_nizhal_spaces` has a row for each space, whose lock is the space's lock, and
//! `_nizhal_actions` every mutation that ran in it, with what it takes to run it again. A trigger of each table keeps an *image* of a row
//! before it is first written at a position (`_nizhal_undo_…`), so that the space can be taken back to before a mutation that arrives late:
//! whatever has an image at that position or later is deleted, and the earliest image of each row put in its place.
//!
//! A mutation's jobs wait beside it (`_nizhal_action_jobs`) until nothing can come before it any more.
//!
//! The same trigger refuses writes past this order: those of a mutator that is not replayed, of a job, of psql. Whoever needs one says so by
//! `nizhal.checkpoint`, and then nothing is taken back to before it.
//!
//! Decision: book/src/decisions/replay.md#images-are-kept-by-triggers

use super::sql::{DELETED_AT, Dialect, UPDATED_AT, VERSION, literal, quote, stamped};
use crate::schema::{Schema, replay::Replayed};
use nizhal_core::{ColumnDesc, Hlc, SqlType, TableDesc};
use std::fmt;

/// The place of a mutation in the order of its space; its text compares as places do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When it takes effect.
    pub stamp: Hlc,
    /// The mutation's id, which orders those of one stamp.
    pub id: String,
}

impl Place {
    /// The first place behind all of this stamp's.
    pub fn behind(stamp: Hlc) -> Hlc {
        match stamp.counter.checked_add(1) {
            Some(counter) => Hlc { counter, ..stamp },
            None => Hlc { millis: stamp.millis + 1, counter: 0, ..stamp },
        }
    }

    /// Reads one back.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (stamp, id) = text.split_once(' ')?;
        Some(Self { stamp: stamp.parse().ok()?, id: id.to_owned() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stamp, self.id)
    }
}

/// How the names of the tables of images begin.
const PREFIX: &str = "_nizhal_undo";

/// The engine's tables for it, each with its `create` statement.
pub(super) fn engine_tables(text: &str, int: &str, time: &str) -> [(&'static str, String); 3] {
    [
        (
            "_nizhal_spaces",
            format!(
                "create table _nizhal_spaces (space {text} primary key, head {text} not null, settled {text} not null default '')"
            ),
        ),
        (
            "_nizhal_actions",
            format!(
                "create table _nizhal_actions (space {text} not null, pos {text} not null, actor {text} not null, id {text} not null, \
                 claims {text} not null, name {text} not null, args {text} not null, client_id {text}, sent {text}, \
                 status {text} not null, version {int} not null, revised {int} not null default 0, primary key (space, pos), unique (actor, id))"
            ),
        ),
        (
            "_nizhal_action_jobs",
            format!(
                "create table _nizhal_action_jobs (space {text} not null, pos {text} not null, n {int} not null, id {text} not null, \
                 name {text} not null, args {text} not null, run_at {time}, max_attempts {int} not null, unique_key {text}, \
                 actor {text} not null, buckets {text}, primary key (space, pos, n))"
            ),
        ),
    ]
}

/// Where the images of a table's rows are kept.
pub(super) struct Images<'a> {
    pub(super) replayed: Replayed<'a>,
    pub(super) dialect: Dialect,
    /// The name of the table of images.
    pub(super) name: String,
    definition: String,
}

/// The images of each replayed table.
pub(super) fn images(dialect: Dialect, schema: &Schema) -> Vec<Images<'_>> {
    schema.replayed().into_iter().map(|replayed| Images::new(dialect, replayed)).collect()
}

/// Lets nothing be taken back to before now: where a trigger is made or switched on, nobody kept images of what was written before.
pub(super) const SETTLE: &str = "update _nizhal_spaces set settled = head";

/// The statements that drop images of other tables, or of columns that the tables had once: a table that gets its columns of then again
/// must not be taken back to what it was then.
pub(super) fn stale<'a>(images: &[Images<'_>], tables: impl Iterator<Item = &'a String>) -> Vec<String> {
    let stale = tables.filter(|name| name.starts_with(PREFIX) && images.iter().all(|images| images.name != **name));
    stale.map(|name| format!("drop table {name}")).collect()
}

/// The columns that an image has, beside the place of the row: whatever the database does not compute. (The engine writes the version and
/// the time of a change anew; an image has them for as long as a space is taken back, see `rewind.rs`.)
fn kept_columns(table: &TableDesc) -> Vec<(&'static str, SqlType)> {
    let declared = table.columns.iter().filter(|column| column.generated.is_none() && column.name != UPDATED_AT);
    let mut columns: Vec<_> = declared.map(|column| (column.name, column.sql)).collect();
    if table.column(DELETED_AT).is_none() {
        columns.push((DELETED_AT, SqlType::Timestamptz));
    }
    columns
}

impl<'a> Images<'a> {
    fn new(dialect: Dialect, replayed: Replayed<'a>) -> Self {
        let text = match dialect {
            Dialect::Postgres => "text collate \"C\"",
            Dialect::Sqlite => "text",
        };
        let written = [(VERSION, SqlType::Int8), (UPDATED_AT, SqlType::Timestamptz)];
        let columns: Vec<String> = kept_columns(replayed.table)
            .into_iter()
            .chain(written)
            .map(|(name, sql)| format!("{} {}", quote(name), dialect.type_name(sql)))
            .collect();
        let keys: Vec<String> = replayed.table.key_columns().map(|key| quote(key.name)).collect();
        let definition = format!(
            "(space {text} not null, pos {text} not null, present boolean not null, {}, primary key (space, {}, pos))",
            columns.join(", "),
            keys.join(", ")
        );
        let name = stamped(PREFIX, &format!("{}\n{definition}", replayed.table.name));
        Self { replayed, dialect, name, definition }
    }

    pub(super) fn table(&self) -> &'static TableDesc {
        self.replayed.table
    }

    /// The statements that make it.
    pub(super) fn create(&self) -> [String; 2] {
        [
            format!("create table {} {}", self.name, self.definition),
            format!("create index {} on {} (space, pos)", stamped("_nizhal_ix", &self.name), self.name),
        ]
    }

    /// The columns of an image, in order, beside its place.
    pub(super) fn columns(&self) -> Vec<String> {
        kept_columns(self.table()).into_iter().map(|(name, _)| quote(name)).collect()
    }

    pub(super) fn key_of(&self, row: &str) -> Vec<String> {
        self.table().key_columns().map(|key| format!("{row}.{}", quote(key.name))).collect()
    }

    pub(super) fn same_key(&self, one: &str, other: &str) -> String {
        let same = |key: &ColumnDesc| format!("{one}.{0} = {other}.{0}", quote(key.name));
        self.table().key_columns().map(same).collect::<Vec<_>>().join(" and ")
    }

    /// Whether the keys of these two rows differ.
    pub(super) fn other_key(&self, one: &str, other: &str) -> String {
        format!("not ({})", self.same_key(one, other))
    }

    /// Keeps the row of before, with its columns, or as absent; once at a place. `from` gives `space` and `pos` as `p`.
    ///
    /// Not by `on conflict`: on SQLite the conflict policy of the statement that fires a trigger overrides the trigger's own.
    pub(super) fn keep(&self, row: &str, is_present: bool, from: &str) -> String {
        let (name, keys) = (&self.name, self.table().key_columns().map(|key| quote(key.name)).collect::<Vec<_>>());
        let (columns, values) = match is_present {
            true => (self.columns(), self.columns().iter().map(|column| format!("{row}.{column}")).collect()),
            false => (keys, self.key_of(row)),
        };
        format!(
            "insert into {name} (space, pos, present, {}) select p.space, p.pos, {}, {} from {from} where not exists \
             (select 1 from {name} z where z.space = p.space and z.pos = p.pos and {})",
            columns.join(", "),
            self.dialect.boolean(is_present),
            values.join(", "),
            self.same_key("z", row)
        )
    }

    /// The spaces that `row` is in, as SQL texts.
    pub(super) fn spaces_of(&self, row: &str) -> Vec<String> {
        let space = |(rule, line): &(&str, &nizhal_core::RuleTable)| {
            format!("{} || {}", literal(&format!("{rule}:")), self.dialect.bucket_key(line, row))
        };
        self.replayed.buckets.iter().map(space).collect()
    }

    /// The error of a write past the order.
    pub(super) fn refusal(&self) -> String {
        format!(
            "table \"{}\" is replayed, so #[mutator(replay(…))] alone writes it; a job, an import or a migration says \
             `nizhal.checkpoint` first",
            self.table().name
        )
    }
}
