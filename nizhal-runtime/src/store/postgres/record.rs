//! The function that ends mutations on Postgres: in one round trip, and by plans that each session keeps, it has run what is deferred, reads
//! the write set, stores the results, uses up the numbers, writes the audit entries, and returns what it takes to judge what was written.
//!
//! It belongs to an app's rules, since it reads the actor's memberships, and its name has the hash of its body.
//!
//! Decision: book/src/decisions/pushing.md#a-push-ends-in-one-function

use super::trigger::{TriggersSql, triggers_sql};
use crate::schema::Schema;
use crate::store::{
    drift::watched,
    field, row_size, scope,
    seal::{SEAL, SPILLED, WHOLE},
    sql::{Dialect, literal, placeholders, quote, stamped},
    write_set::{DRAWN, JUDGED, WRITTEN},
};
use nizhal_core::Rule;

/// What a push calls.
#[derive(Debug)]
pub(in crate::store) struct RecordSql {
    /// The name of the function.
    pub(in crate::store) function: String,
    /// The call, which returns one row.
    pub(in crate::store) call: String,
    /// The fingerprint of the triggers, and each that is switched on.
    pub(in crate::store) triggers: String,
}

/// A function that belongs to an app's rules.
pub(super) struct AppFunction {
    pub(super) name: String,
    /// Arguments, what it returns, and the body.
    rest: String,
}

impl AppFunction {
    fn new(prefix: &str, rest: String) -> Self {
        Self { name: stamped(prefix, &rest), rest }
    }

    /// The statement that makes it.
    pub(super) fn create(&self) -> String {
        format!("create function {}{}", self.name, self.rest)
    }
}

/// The arguments, each with its type.
const ARGS: [(&str, &str); 19] = [
    ("p_actor", "text"),
    ("p_client", "text"),
    // The number up to which all of the client's mutations are used up.
    ("p_last", "bigint"),
    // The version of the client's mutation before, for those that drew none.
    ("p_before", "bigint"),
    ("p_acknowledged", "bigint"),
    // What was read of the write set before.
    ("p_taken", "text"),
    // The claims that memberships are compared with, as a JSON array: a function has a hundred arguments at most.
    ("p_claims", "text"),
    // Whether audit entries are written.
    ("p_audit", "boolean"),
    // Several mutations as JSON, in the place of what follows.
    ("p_several", "text"),
    ("p_id", "text"),
    ("p_number", "bigint"),
    ("p_name", "text"),
    ("p_status", "text"),
    ("p_reason", "text"),
    ("p_result", "text"),
    ("p_ref", "text"),
    ("p_server", "text"),
    ("p_lost", "text"),
    ("p_args", "text"),
];

/// The columns of a stored result.
const RESULT: &str = "actor, client_mutation_id, client_id, mutation_id, name, status, reason, result, client_ref, server_id, lost, version";
/// The columns of an audit entry.
const ENTRY: &str =
    "version, n, kind, actor, id, client_id, mutation_id, name, status, buckets, tables, args, write_set";

impl RecordSql {
    pub(in crate::store) fn new(schema: &Schema) -> Self {
        let [.., end] = app_functions(schema);
        let TriggersSql { found: triggers, .. } = triggers_sql(&watched(schema));
        Self {
            call: format!("select ended.* from {}({}) as ended", end.name, placeholders(0, ARGS.len())),
            function: end.name,
            triggers,
        }
    }
}

/// The functions of an app's rules, each after those that it calls.
pub(super) fn app_functions(schema: &Schema) -> [AppFunction; 3] {
    let tables = watched(schema);
    let look = AppFunction::new("_nizhal_look", look_rest(&triggers_sql(&tables)));
    let kept = AppFunction::new("_nizhal_kept", kept_rest(&look.name));
    let tables: Vec<String> = tables.iter().map(|table| format!("{}::regclass", literal(&quote(table)))).collect();
    let triggers = format!("coalesce({}(array[{}]::regclass[]), {}(false))", kept.name, tables.join(", "), look.name);
    let end = AppFunction::new("_nizhal_end", end_rest(schema.rules(), &triggers));
    [look, kept, end]
}

/// Reads the fingerprint of the triggers. Where it is to be of `plain` tables and one has policies or descendants, whose state is not part of
/// the table's own, it returns NULL.
fn look_rest(triggers: &TriggersSql) -> String {
    format!(
        "(plain boolean) returns text language plpgsql volatile as $nizhal$
begin
  if plain and exists (select 1 from pg_class c where {} and (c.relrowsecurity or c.relhassubclass)) then return null; end if;
  return ({});
end $nizhal$",
        triggers.is_ours, triggers.capture
    )
}

/// The same fingerprint of plain tables, as it is kept in a session's plan.
///
/// It is declared immutable, so the planner calls it once and keeps its result in the plan of the calling expression. It is not immutable:
/// its result changes when a trigger of one of these tables does. But then Postgres invalidates what sessions have cached of the table, which
/// is what decides whether its triggers fire, and with it each plan that names the table as a constant of `regclass`. So a session that wrote
/// to a table whose triggers did not fire calls it again. What it calls is volatile and so reads the catalog as it is now, and not as a
/// snapshot has it that is older than the invalidation.
fn kept_rest(look: &str) -> String {
    format!(
        "(tables regclass[]) returns text language plpgsql immutable as $nizhal$
begin
  return {look}(true);
end $nizhal$"
    )
}

/// Relies on the membership tables' indexes on their claim columns, and on primary keys.
fn end_rest(rules: &[Rule], triggers: &str) -> String {
    // Each claim is behind a `select`, since a plan is made for each actor where Postgres sees that one would profit.
    let (members, _) = scope::members(Dialect::Postgres, rules, |at| format!("(select p_claims::json ->> {})", at - 1));
    let args: Vec<String> = ARGS.iter().map(|(name, sql)| format!("{name} {sql}")).collect();
    let members = if members.is_empty() {
        String::new()
    } else {
        format!(
            "members := (select json_agg(json_build_array(m.rule, m.param, m.value))::text from ({}) m \
             where strpos(p_taken || written, to_json(m.value)::text) > 0);\n  ",
            members.join(" union all ")
        )
    };
    format!(
        "({args}, out written text, out version bigint, out filed bigint, out rules text, out members text, out triggers text, \
         out leaves_tables boolean) language plpgsql volatile as $nizhal$
#variable_conflict use_column
declare
  drawn bigint;
  done text;
begin
  -- What is deferred until the commit writes before the write set is read.
  set constraints all immediate;
  written := {WRITTEN};
  drawn := {DRAWN};
  version := coalesce(drawn, p_before);
  if p_several is null then
    insert into _nizhal_mutations ({RESULT})
      values (p_actor, p_id, p_client, p_number, p_name, p_status, p_reason, p_result, p_ref, p_server, p_lost, version)
      on conflict (actor, client_mutation_id) do nothing;
  else
    insert into _nizhal_mutations ({RESULT})
      select p_actor, r.id, p_client, r.number, r.name, r.status, r.reason, r.result, r.client_ref, r.server_id, r.lost, version
      from json_to_recordset(p_several::json) as r(id text, number int8, name text, status text, reason text, result text, client_ref text, \
        server_id text, lost text)
      on conflict (actor, client_mutation_id) do nothing;
  end if;
  get diagnostics filed = row_count;
  if p_client is not null then
    update _nizhal_clients c set last_mutation_id = p_last, last_version = version, acknowledged = greatest(c.acknowledged, p_acknowledged), \
      seen_at = now() where c.client_id = p_client;
  end if;
  if p_audit then
    drawn := coalesce(drawn, _nizhal_version());
    if p_several is null then
      insert into _nizhal_audit ({ENTRY})
        values (drawn, 1, 'mutation', p_actor, p_id, p_client, p_number, p_name, p_status, '', '', p_args, {touched});
    else
      insert into _nizhal_audit ({ENTRY})
        select drawn, r.at, 'mutation', p_actor, r.id, p_client, r.number, r.name, r.status, '', '', r.args, r.write_set
        from rows from (json_to_recordset(p_several::json) as (id text, number int8, name text, status text, args text, write_set text)) \
          with ordinality as r(id, number, name, status, args, write_set, at);
    end if;
  end if;
  select c.rules into rules from _nizhal_control c where c.id = 1;
  {members}triggers := {triggers};
  leaves_tables := pg_my_temp_schema() <> 0;
  done := {JUDGED};
  -- Last, when the others have read the settings.
  done := _nizhal_leave();
end $nizhal$",
        args = args.join(", "),
        touched = touched("written"),
    )
}

/// The lines of a write set that name what was touched, as SQL: not its seal, and not the reports of merged columns and of large rows, which
/// tell of the rows themselves. `Written::touched` has the same of what was taken before.
fn touched(write_set: &str) -> String {
    let signs = format!("{}{}{SPILLED}{WHOLE}", field::SIGN, row_size::SIGN);
    format!(
        "case when translate({write_set}, '{signs}', '') <> {write_set} then coalesce((select string_agg(l, E'\\n' order by at) \
         from unnest(string_to_array({write_set}, E'\\n')) with ordinality as u(l, at) where l ~ '^[^{SEAL}{signs}]'), '') \
         else substr({write_set}, strpos({write_set}, E'\\n') + 1) end"
    )
}
