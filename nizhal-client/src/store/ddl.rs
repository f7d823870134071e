//! The tables and triggers of a device's file.

pub(super) use nizhal_core::local::names;
use nizhal_core::local::{LocalColumn, LocalTable};
use nizhal_core::sql::{literal, quote};

/// The layout of the engine's own tables; another one is made anew, its outbox kept.
pub(super) const FORMAT: i64 = 2;

/// The engine's own tables.
pub(super) const ENGINE: &[&str] = &[
    // One row: who this device is, how far it has come, and what the triggers are told.
    "create table if not exists _nizhal_meta (one integer primary key check (one = 1), format integer not null, \
     user text not null, client_id text not null, node text not null, next_number integer not null default 1, hlc text, \
     cursor text not null default '', epoch text, complete integer not null default 0, staged text, \
     staged_reset integer not null default 0, tables text not null default '{}', waiting integer not null default 0, \
     parked integer not null default 0, capture integer not null default 0, seq integer not null default 0)",
    // state: 0 waits, 1 answered. covered: the rows show it. shown: 1 laid over the rows, 0 not, 2 never.
    "create table if not exists _nizhal_outbox (seq integer primary key autoincrement, id text not null unique, \
     name text not null, args text not null, hlc text not null, now text not null, client_id text not null, \
     number integer not null, depends_on text not null default '[]', state integer not null default 0, \
     covered integer not null default 0, shown integer not null default 0, server_id text)",
    // number: the place in the sequence, in which they are sent; 0 while it waits for an upload.
    "create index if not exists _nizhal_outbox_state on _nizhal_outbox (state, number)",
    "create index if not exists _nizhal_outbox_held on _nizhal_outbox (seq) where number = 0",
    "create table if not exists _nizhal_dead (seq integer primary key, id text not null unique, name text not null, \
     args text not null, hlc text not null, now text not null, status text not null, code text not null, \
     error text not null, depends_on text not null)",
    // Replayed mutations that left the outbox or the dead letters: they may get another result.
    "create table if not exists _nizhal_answered (seq integer primary key, id text not null unique, name text not null, \
     args text not null, hlc text not null, now text not null, depends_on text not null, status text not null)",
    // Results that changed. told: the app has confirmed it.
    "create table if not exists _nizhal_revised (n integer primary key, id text not null unique, name text, args text, \
     status text not null, code text, error text, told integer not null default 0)",
    // Pages of a snapshot that has not come whole yet. kind: 0 rows, 1 a page, 2 an image. loose: of an answer that has not ended.
    "create table if not exists _nizhal_stage (n integer primary key, kind integer not null, loose integer not null, \
     body blob not null)",
    // Rows that the app's types cannot read, and why.
    "create table if not exists _nizhal_unreadable (tbl text not null, id text not null, col text not null, \
     reason text not null, primary key (tbl, id)) without rowid",
    // Buckets on demand that are asked for, until when, in milliseconds since the Unix epoch, and whether their rows are here.
    "create table if not exists _nizhal_subscriptions (bucket text primary key, until_ms integer not null, \
     complete integer not null default 0) without rowid",
    // Rules of which buckets are still to come.
    "create table if not exists _nizhal_later (rule text primary key) without rowid",
    // Which pending mutation made a row, and which build on those.
    "create table if not exists _nizhal_made (tbl text not null, id text not null, seq integer not null, \
     primary key (tbl, id)) without rowid",
    "create table if not exists _nizhal_needs (seq integer not null, needs integer not null, \
     primary key (seq, needs)) without rowid",
    // Blobs whose bytes are here. state: 0 to be uploaded, 1 refused by the server, 2 uploaded, 3 cached, 4 to be removed. named: a mutation
    // has named it. used: the order in which they were last used.
    "create table if not exists _nizhal_blobs (sha256 text primary key, size integer not null, mime text not null, \
     state integer not null, named integer not null default 0, used integer not null, bucket text, upload text, \
     tries integer not null default 0, mismatches integer not null default 0, lacks integer not null default 0, code text, \
     error text) without rowid",
    "create index if not exists _nizhal_blobs_state on _nizhal_blobs (state, size)",
    "create index if not exists _nizhal_blobs_used on _nizhal_blobs (used)",
    // Which mutations, waiting or refused, name which blobs.
    "create table if not exists _nizhal_named (id text not null, sha256 text not null, primary key (id, sha256)) without rowid",
    "create index if not exists _nizhal_named_sha256 on _nizhal_named (sha256)",
    // Which rows a pending mutation touched, noted while a mutation may have to wait for a blob.
    "create table if not exists _nizhal_touched (seq integer not null, tbl text not null, id text not null, \
     primary key (seq, tbl, id)) without rowid",
    "create index if not exists _nizhal_touched_row on _nizhal_touched (tbl, id)",
    "create trigger if not exists _nizhal_outbox_gone after delete on _nizhal_outbox begin \
     delete from _nizhal_touched where seq = old.seq; end",
    // Counted as they change: a long outbox must not be gone through for each new write.
    "create trigger if not exists _nizhal_outbox_in after insert on _nizhal_outbox when new.state = 0 begin \
     update _nizhal_meta set waiting = waiting + 1; end",
    "create trigger if not exists _nizhal_outbox_out after delete on _nizhal_outbox when old.state = 0 begin \
     update _nizhal_meta set waiting = waiting - 1; end",
    "create trigger if not exists _nizhal_outbox_turn after update of state on _nizhal_outbox \
     when old.state <> new.state begin update _nizhal_meta set waiting = waiting + (new.state = 0) - (old.state = 0); end",
    "create trigger if not exists _nizhal_dead_in after insert on _nizhal_dead begin \
     update _nizhal_meta set parked = parked + 1; end",
    "create trigger if not exists _nizhal_dead_out after delete on _nizhal_dead begin \
     update _nizhal_meta set parked = parked - 1; end",
];

/// The indexes of its unique columns.
pub(super) fn unique_indexes(table: &LocalTable) -> impl Iterator<Item = (String, &LocalColumn)> {
    table.uniques().map(|(column, index)| {
        (format!("create unique index if not exists {index} on {} ({})", table.name(), quote(column.name)), column)
    })
}

/// The table of base images: what the server last said of rows that a pending mutation touched.
pub(super) fn create_base(table: &LocalTable) -> String {
    let columns: Vec<String> =
        table.written().map(|column| format!("{} {}", quote(column.name), column.sql.sqlite())).collect();
    format!(
        "create table {} ({}, _nizhal_present integer not null, primary key ({})) without rowid",
        table.base(),
        columns.join(", "),
        names(table.keys())
    )
}

/// The triggers that keep a row's image the first time a mutation touches it.
///
/// `not exists` rather than `or ignore`: a trigger's conflict clause gives way to that of the statement that fired it.
pub(super) fn triggers(table: &LocalTable) -> [(String, String); 3] {
    let (name, base, all) = (table.name(), table.base(), names(table.written()));
    let keys = names(table.keys());
    let same = |row: &str| {
        let parts: Vec<String> = table.keys().map(|key| format!("{0} is {row}.{0}", quote(key.name))).collect();
        parts.join(" and ")
    };
    let of = |row: &str, columns: &mut dyn Iterator<Item = &LocalColumn>| {
        columns.map(|column| format!("{row}.{}", quote(column.name))).collect::<Vec<_>>().join(", ")
    };
    let id = |row: &str| {
        let parts: Vec<String> = table.keys().map(|key| format!("quote({row}.{})", quote(key.name))).collect();
        parts.join(" || ',' || ")
    };
    let kept = |row: &str| {
        let values = of(row, &mut table.written());
        let absent = same(row);
        format!(
            "insert into {base} ({all}, _nizhal_present) select {values}, 1 where not exists (select 1 from {base} where {absent});"
        )
    };
    let made = |row: &str, moved: &str| {
        let values = of(row, &mut table.keys());
        let absent = same(row);
        format!(
            "insert into {base} ({keys}, _nizhal_present) select {values}, 0 where {moved}not exists (select 1 from {base} where {absent}); \
             insert into _nizhal_made (tbl, id, seq) select {tbl}, {id}, seq from _nizhal_meta where {moved}not exists \
             (select 1 from _nizhal_made where tbl = {tbl} and id = {id});",
            tbl = literal(table.desc.name),
            id = id(row),
        )
    };
    let touched = |row: &str| {
        format!(
            "insert into _nizhal_touched (seq, tbl, id) select m.seq, {tbl}, {id} from _nizhal_meta m \
             where exists (select 1 from _nizhal_blobs where state < 3) and not exists \
             (select 1 from _nizhal_touched t where t.seq = m.seq and t.tbl = {tbl} and t.id = {id});",
            tbl = literal(table.desc.name),
            id = id(row),
        )
    };
    let needs = format!(
        "insert into _nizhal_needs (seq, needs) select m.seq, d.seq from _nizhal_meta m join _nizhal_made d \
         where d.tbl = {} and d.id = {} and d.seq <> m.seq and not exists \
         (select 1 from _nizhal_needs n where n.seq = m.seq and n.needs = d.seq);",
        literal(table.desc.name),
        id("old")
    );
    let moved = format!("({}) is not ({}) and ", id("new"), id("old"));
    let trigger = |verb: &str, body: String| {
        let trigger = quote(&format!("_nizhal_{verb}_{}", table.desc.name));
        let create = format!(
            "create trigger {trigger} after {verb} on {name} when (select capture from _nizhal_meta) = 1 begin {body} end"
        );
        (trigger, create)
    };
    [
        trigger("insert", format!("{} {}", made("new", ""), touched("new"))),
        trigger(
            "update",
            format!("{} {} {needs} {} {}", kept("old"), made("new", &moved), touched("old"), touched("new")),
        ),
        trigger("delete", format!("{} {needs} {}", kept("old"), touched("old"))),
    ]
}

/// Takes the pending mutations' effects off a table: set-based, so that no order matters.
pub(super) fn undo(table: &LocalTable) -> [String; 3] {
    let (name, base, all, keys) = (table.name(), table.base(), names(table.written()), names(table.keys()));
    [
        format!("delete from {name} where ({keys}) in (select {keys} from {base})"),
        format!("insert into {name} ({all}) select {all} from {base} where _nizhal_present = 1"),
        format!("delete from {base}"),
    ]
}
