//! The version clock: which versions a reader may take as complete.
//!
//! Every transaction that writes a synced row draws one version from the sequence, at its first such write, and keeps
//! it in a transaction-local setting. Draw order is not commit order, so a reader that simply took "everything up to
//! the last version drawn" would step over a transaction that drew early and commits late. Hence two rules:
//!
//! * The **writer**, before it draws, reads the sequence's last value L and takes a shared, transaction-scoped advisory
//!   lock that encodes L (the upper 16 bits of its key are the schema's, `namespace.rs`; the lower 48 are L). Then it draws v > L.
//! * The **reader** reads the last value S, *then* the Ls from `pg_locks`, *then* takes its snapshot. Its horizon is
//!   min(S, every L), and it takes versions up to there.
//!
//! Nothing at or below the horizon can appear later. Take a writer with v ≤ S. It drew before S was read, so its lock was
//! there before that. Either the reader finds the lock, and then L < v keeps v above the horizon; or the writer had
//! ended by then, and because Postgres makes a commit visible before it releases the transaction's locks, the snapshot,
//! taken later still, has its rows. A writer with v > S is above the horizon anyway. A rolled-back savepoint takes back
//! its lock and its setting together, so the next write in that transaction begins again with a lock of its own.
//!
//! Where all up to S was there once and S is still the last value, nobody has drawn since, so all up to S is there now. Each session
//! remembers the last such S, with the sequence that it is of, and does not read the locks where it finds it again: they are half of
//! what a pull with nothing new costs.
//!
//! A crash of Postgres must not take drawn versions back either, for a cursor may have gone past them by then, and the rows
//! that draw them again would be skipped. A committed draw is on the disk, but one that was rolled back need not be. Postgres
//! logs draws in batches of 32 (`log_cnt` tells how many are left, so where the batch began); the first time that a session
//! meets a batch, the reader writes an empty message into the log, and its commit brings the log to the disk up to there before
//! the horizon is answered. (A transaction id alone would not: Postgres flushes only for those who wrote.)
//!
//! The functions name the schema they were made in, so that writers with another `search_path` are served too.
//!
//! `clock_model.rs` tries every interleaving of two writers and a reader.
//!
//! Nobody waits: shared locks do not conflict, and a transaction that writes no synced row holds none.
//!
//! Decision: book/src/decisions/pulling.md#a-session-reads-the-locks-only-after-somebody-drew-a-version

use super::namespace::Namespace;
use crate::store::{
    incarnation::CLOCK_SIGN,
    seal::{SPILLED, WHOLE},
    sql::quote,
    write_set::{DRAWN, WRITTEN},
};
use nizhal_core::{Merge, TableDesc, bucket::MEMBERSHIP};
use std::collections::BTreeSet;

/// The sequence that versions are drawn from.
pub(super) const SEQUENCE: &str = "_nizhal_clock";

/// The incarnation of the database, as SQL: the cluster, the database's number in it, and the cluster's timeline, which changes at each
/// failover and point-in-time recovery. A dump restored elsewhere, or a history that was cut off, shows here. And since when: a
/// disk that was put back as it once was shows nowhere else (`store/incarnation.rs`). And the clock's own number: a dump that is restored in
/// the place of what it was taken from makes the clock anew.
pub(super) fn incarnation(schema: &str) -> String {
    format!("{CLUSTER_ID} || {START} || '{CLOCK_SIGN}' || (select tableoid from {schema}._nizhal_clock)")
}

/// `_nizhal_restored()`: whoever inserts a control row puts back what was kept of one, and a database that it says nothing of is none that
/// its cursors are of. (Provisioning makes the trigger after the row.)
pub(super) fn restored_function(schema: &str) -> String {
    format!(
        "create or replace function {schema}._nizhal_restored() returns trigger language plpgsql as $nizhal$
begin
  new.home := '';
  return new;
end $nizhal$"
    )
}

/// The cluster's identity, which no session sees change; to read it is to read the disk.
const CLUSTER_ID: &str = "(select system_identifier::text from pg_control_system()) \
    || '-' || (select oid::text from pg_database where datname = current_database())";
/// The start of the incarnation, which a session may see change.
const START: &str = "'-' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) \
    || '@' || extract(epoch from pg_postmaster_start_time())::text";

/// `_nizhal_version()`: this transaction's version, drawn at the first call.
///
/// An assignment calls a function at a fifth of what `perform` costs, which runs a query of its own; so does the rest of what each push runs.
pub(super) fn version_function(schema: &str, class: u16) -> String {
    format!(
        "create or replace function {schema}._nizhal_version() returns bigint language plpgsql volatile {} as $nizhal$
declare noted text := current_setting('nizhal.version', true); last bigint; drawn bigint;
begin
  if noted is not null and noted <> '' then return noted::bigint; end if;
  select last_value into last from {schema}._nizhal_clock;
  noted := pg_advisory_xact_lock_shared(({class}::bigint << 48) | last);
  drawn := nextval({clock});
  noted := set_config('nizhal.version', drawn::text, true);
  return drawn;
end $nizhal$",
        definer(schema),
        clock = crate::store::sql::literal(&format!("{schema}._nizhal_clock")),
    )
}

/// `_nizhal_horizon()`: the last version drawn, the horizon, the incarnation of the database and how far its log is on the disk.
/// Must run before the snapshot that it is for is taken.
pub(super) fn horizon_function(schema: &str, class: u16) -> String {
    format!(
        "create or replace function {schema}._nizhal_horizon(out clock bigint, out horizon bigint, out lives text, out place bigint) language plpgsql volatile as $nizhal$
declare lowest bigint; batch bigint; whole text; number oid; home text := current_setting('nizhal.home', true);
begin
  -- As a write there would say; it passes when the standby is promoted.
  if pg_is_in_recovery() then raise read_only_sql_transaction; end if;
  select last_value, last_value + log_cnt - 32, tableoid || ' ' || last_value, tableoid into clock, batch, whole, number from {schema}._nizhal_clock;
  if batch::text is distinct from current_setting('nizhal.on_disk', true) then
    if pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn() then
      perform set_config('synchronous_commit', 'local', true), pg_logical_emit_message(true, 'nizhal', '');
    end if;
    perform set_config('nizhal.on_disk', batch::text, false);
  end if;
  horizon := clock;
  if whole is distinct from current_setting('nizhal.whole', true) then
    select min(((classid::bigint & 65535) << 32) | objid::bigint) into lowest from pg_locks
     where locktype = 'advisory' and objsubid = 1 and (classid::bigint >> 16) = {class}
       and database = (select oid from pg_database where datname = current_database());
    if lowest < clock then horizon := lowest; else perform set_config('nizhal.whole', whole, false); end if;
  end if;
  if home is null or home = '' then
    home := {CLUSTER_ID};
    perform set_config('nizhal.home', home, false);
  end if;
  lives := home || {START} || '{CLOCK_SIGN}' || number;
  -- After the locks were read: who holds none and drew before has committed, and what is committed is flushed.
  place := pg_current_wal_flush_lsn() - '0/0'::pg_lsn;
end $nizhal$"
    )
}

/// The session or the prepared transaction that holds the horizon back, as SQL: the oldest of those with the lowest lock. Of another
/// user's session all but its id, name and user may be hidden from us.
pub(in crate::store) fn holder(namespace: &Namespace) -> String {
    format!(
        "select l.pid, a.application_name, a.usename::text as usename, a.state, \
         extract(epoch from clock_timestamp() - coalesce(a.xact_start, x.prepared))::float8 as age, x.gid::text as gid from pg_locks l \
         left join pg_stat_activity a on a.pid = l.pid left join pg_locks t on l.pid is null and t.pid is null \
         and t.virtualtransaction = l.virtualtransaction and t.locktype = 'transactionid' and t.mode = 'ExclusiveLock' \
         left join pg_prepared_xacts x on x.transaction = t.transactionid where l.locktype = 'advisory' and l.objsubid = 1 \
         and (l.classid::bigint >> 16) = {} and l.database = (select oid from pg_database where datname = current_database()) \
         order by ((l.classid::bigint & 65535) << 32) | l.objid::bigint, coalesce(a.xact_start, x.prepared) limit 1",
        namespace.lock_class()
    )
}

/// Where writers from outside are heard, as SQL: one channel a schema.
pub(super) const CHANNEL: &str =
    "select '_nizhal_' || md5('\"' || replace(current_schema()::text, '\"', '\"\"') || '\"')";
/// The payload of a notification when the line is too long for one: somebody wrote, pull everything.
pub(in crate::store) const SOMETHING: &str = "*";

/// A transaction that touched more than these bytes of buckets spills what comes then into settings by its hash.
const MAX_NOTE: usize = 32 * 1024;

/// How functions run that need what only their owner may do, for whoever writes: with a `search_path` that nobody can put a
/// function of his own into.
pub(super) fn definer(schema: &str) -> String {
    format!("security definer set search_path = pg_catalog, {schema}, pg_temp")
}

/// The error of a write that comes after all of its transaction was judged, as a trigger's that defers itself again would.
const TOO_LATE: &str = "a row is written after its mutation was judged";

/// `_nizhal_note(lines)`: adds touched buckets to the transaction's note; a savepoint rolled back takes its part away.
///
/// A setting is searched and copied as a whole at each statement, so the work of an import over n buckets would grow with n
/// squared. Hence one setting holds the first 32 KB, and further lines go to one of 256 by their hash; `nizhal.spilled` names
/// those in use.
///
/// Our own sessions say so (`nizhal.local`) and ping from their process. Everybody else's writes are notified: it costs
/// them a queue at commit, which our hot path is spared. Behind a pooler that drops the setting our name does, which poolers
/// pass on. Changed memberships are notified by everybody: whoever may hear a bucket no more must be told by the very commit,
/// and not by a server that may die after it.
pub(super) fn note_function(schema: &str, session: &str) -> String {
    format!(
        "create or replace function {schema}._nizhal_note(lines text) returns void language plpgsql volatile as $nizhal$
declare
  noted text := coalesce(current_setting('nizhal.touched', true), '');
  spilled text := coalesce(current_setting('nizhal.spilled', true), '');
  local text := nullif(current_setting('nizhal.local', true), '');
  fresh text;
  node text;
  part text;
  have text;
  line text;
begin
  if lines is null or position(E'\\n' || lines || E'\\n' in E'\\n' || noted) > 0 then return; end if;
  if current_setting('nizhal.judged', true) = 'on' then raise exception '{TOO_LATE}'; end if;
  if spilled = '' and octet_length(noted) + octet_length(lines) <= {MAX_NOTE} then
    noted := set_config('nizhal.touched', noted || lines || E'\\n', true);
    fresh := lines;
  else
    if spilled = '' then perform set_config('nizhal.touched', noted || E'{SPILLED}\\n', true); end if;
    for node, part in select left(md5(l), 2), string_agg(l, E'\\n') from unnest(string_to_array(lines, E'\\n')) l group by 1 loop
      have := '';
      if position(node || ',' in spilled) > 0 then have := current_setting('nizhal.touched_' || node); end if;
      if position(E'\\n' in part) = 0 then
        continue when position(E'\\n' || part || E'\\n' in E'\\n' || have) > 0;
      elsif have <> '' then
        part := (select string_agg(l, E'\\n') from (select unnest(string_to_array(part, E'\\n')) except select unnest(string_to_array(have, E'\\n'))) n(l));
        continue when part is null;
      end if;
      if have = '' then spilled := spilled || node || ','; end if;
      perform set_config('nizhal.touched_' || node, have || part || E'\\n', true);
      fresh := concat_ws(E'\\n', fresh, part);
    end loop;
    if fresh is null then return; end if;
    perform set_config('nizhal.spilled', spilled, true);
  end if;
  if local is null and current_setting('application_name') = '{session}' then local := 'on'; end if;
  -- Whoever prepares a transaction says so by one name in all schemas; the sessions of the app in `public` mean themselves by it.
  if local is null and current_setting('application_name') <> 'nizhal' then local := current_setting('nizhal' || '.local', true); end if;
  if local is distinct from 'on' or position('{MEMBERSHIP}' in fresh) = 1 then
    foreach line in array string_to_array(fresh, E'\\n') loop
      perform pg_notify('_nizhal_' || md5({literal}), case when octet_length(line) > 7000 then '{SOMETHING}' else line end);
    end loop;
  end if;
end $nizhal$",
        literal = crate::store::sql::literal(schema),
    )
}

/// `_nizhal_written()`: the whole note of a transaction that spilled; it says so at its end where no part of it is missing.
pub(super) fn written_function(schema: &str) -> String {
    format!(
        "create or replace function {schema}._nizhal_written() returns text language sql volatile as $nizhal$
  select coalesce(current_setting('nizhal.touched', true), '') || coalesce(string_agg(part, ''), '')
      || case when bool_and(coalesce(part, '') <> '') then E'{WHOLE}\\n' else '' end
    from (select current_setting('nizhal.touched_' || node, true) as part
      from unnest(string_to_array(rtrim(current_setting('nizhal.spilled'), ','), ',')) node) p
$nizhal$"
    )
}

/// `_nizhal_due()`: has the deferred constraints and triggers run that would run at the commit, and says whether they wrote what was
/// not noted before. It runs with the rights of whoever calls it, and so do they, as they would at the commit.
pub(super) fn due_function(schema: &str) -> String {
    let written = WRITTEN.replace("_nizhal_written()", &format!("{schema}._nizhal_written()"));
    format!(
        "create or replace function {schema}._nizhal_due() returns boolean language plpgsql volatile as $nizhal$
declare noted text := {written};
begin
  set constraints all immediate;
  return noted is distinct from {written};
end $nizhal$"
    )
}

/// `_nizhal_stamp()`: gives each written row the transaction's version and time.
pub(super) fn stamp_function(schema: &str) -> String {
    format!("create or replace function {schema}._nizhal_stamp() {}", stamp_body(schema, ""))
}

/// The body of the same trigger of a table with columns that are not published.
pub(super) fn published_stamp_body(schema: &str, published: &BTreeSet<&str>, table: &TableDesc) -> String {
    let net = if table.merge == Merge::Replay { NET } else { "" };
    stamp_body(schema, &format!("{net}{} return new; end if;\n  ", unless_published(published)))
}

/// The same of a replayed table.
pub(super) fn replayed_stamp_body(schema: &str) -> String {
    stamp_body(schema, NET)
}

/// Ends the trigger early where a row gets its version back, since it is as it was before others ran again.
const NET: &str = "if tg_op = 'UPDATE' and current_setting('nizhal.net', true) = 'on' then return new; end if;\n  ";

/// It runs for each row, so it asks for the version as its own owner only where there is none yet.
fn stamp_body(schema: &str, before: &str) -> String {
    format!(
        "returns trigger language plpgsql volatile as $nizhal$
begin
  {before}new._nizhal_version := coalesce({DRAWN}, {schema}._nizhal_version());
  new.updated_at := now();
  return new;
end $nizhal$"
    )
}

/// What ends a row's trigger early, where an update changed none of these columns, compared byte by byte. A trigger of the app's that runs
/// after it may yet change them.
pub(super) fn unless_published(published: &BTreeSet<&str>) -> String {
    let of = |row: &str| published.iter().map(|name| format!("{row}.{}", quote(name))).collect::<Vec<_>>().join(", ");
    format!(
        "if tg_op = 'UPDATE' and row({})::record operator(pg_catalog.*=) row({})::record and not exists (select 1 from pg_catalog.pg_trigger t \
         where t.tgrelid = tg_relid and not t.tgisinternal and t.tgtype & 19 = 19 and t.tgname > tg_name) then",
        of("old"),
        of("new"),
    )
}
