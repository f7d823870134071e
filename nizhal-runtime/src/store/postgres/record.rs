//! The statement that ends mutations on Postgres: it files, advances, and gives the note and the memberships at once.

use super::trigger::{TriggersSql, triggers_sql};
use crate::store::write_set::{DRAWN, DUE, JUDGED, WRITTEN};
use crate::store::{drift::watched, scope, sql::Dialect};
use nizhal_core::Rule;

/// The statements of `WriteTx::record_results`.
#[derive(Debug)]
pub(in crate::store) struct RecordSql {
    /// For one answer.
    pub(in crate::store) one: String,
    /// For several, as JSON.
    pub(in crate::store) many: String,
    /// The fingerprint of the triggers, and each that is switched on.
    pub(in crate::store) triggers: String,
}

/// The columns of an answer, each with its type.
const COLUMNS: [(&str, &str); 9] = [
    ("id", "text"),
    ("number", "int8"),
    ("name", "text"),
    ("status", "text"),
    ("reason", "text"),
    ("result", "text"),
    ("client_ref", "text"),
    ("server_id", "text"),
    ("lost", "text"),
];
/// The parameters before those of the answers: actor, client, last number, version before, what was looked at, number acknowledged.
const FIRST: usize = 6;

/// Rows of the answer that are no memberships.
pub(in crate::store) mod kind {
    pub(in crate::store) const WRITTEN: i32 = -1;
    pub(in crate::store) const FILED: i32 = -2;
    pub(in crate::store) const TRIGGERS: i32 = -3;
    pub(in crate::store) const LEFT: i32 = -4;
    pub(in crate::store) const DUE: i32 = -5;
}

impl RecordSql {
    /// Relies on the membership tables' indexes on their claim columns, and on primary keys.
    pub(in crate::store) fn new(rules: &[Rule]) -> Self {
        let places: Vec<String> =
            (FIRST + 1..).zip(COLUMNS).map(|(at, (name, sql))| format!("${at}::{sql} as {name}")).collect();
        let columns: Vec<String> = COLUMNS.iter().map(|(name, sql)| format!("{name} {sql}")).collect();
        let one = format!("(select {}) r", places.join(", "));
        let many = format!("json_to_recordset(${}::json) as r({})", FIRST + 1, columns.join(", "));
        let TriggersSql { capture, found: triggers, .. } = triggers_sql(&watched(rules));
        let text = |answers: &str, before| text(answers, rules, &capture, before);
        Self { one: text(&one, FIRST + COLUMNS.len()), many: text(&many, FIRST + 1), triggers }
    }
}

fn text(answers: &str, rules: &[Rule], fingerprint: &str, before: usize) -> String {
    // Through a CTE, as those of a pull's statement are: in plain sight they would be planned for at every push.
    let (members, claims) = scope::members(Dialect::Postgres, rules, |at| format!("(select a{at} from args)"));
    let args: Vec<String> = (1..=claims.len()).map(|at| format!("${}::text as a{at}", before + at)).collect();
    let args = match args.as_slice() {
        [] => String::new(),
        args => format!("args as materialized (select {}), ", args.join(", ")),
    };
    let members: String = members
        .iter()
        .map(|member| {
            format!(
                "\nunion all select m.rule, m.param, m.value, null from ({member}) m, look \
                 where strpos(look.note, to_json(m.value)::text) > 0"
            )
        })
        .collect();
    format!(
        "with due as materialized (select {DUE} as wrote), look as materialized (select fresh, $5::text || fresh as note, \
         coalesce({DRAWN}, $4::int8) as version \
         from (select {WRITTEN} as fresh from due) w), {args}\
         filed as (insert into _nizhal_mutations (actor, client_mutation_id, client_id, mutation_id, name, status, reason, result, \
         client_ref, server_id, lost, version) select $1, r.id, $2, r.number, r.name, r.status, r.reason, r.result, r.client_ref, \
         r.server_id, r.lost, look.version from look, {answers} on conflict (actor, client_mutation_id) do nothing returning 1), \
         advanced as (update _nizhal_clients set last_mutation_id = $3, last_version = look.version, acknowledged = greatest(acknowledged, $6), \
         seen_at = now() from look \
         where client_id = $2)\n\
         select {} as rule, 0 as param, fresh as value, version as number from look union all \
         select {}, 0, rules, (select count(*) from filed) from _nizhal_control where id = 1 union all \
         select {}, 0, ({fingerprint}), pg_my_temp_schema()::int8 union all \
         select {}, 0, {JUDGED}, wrote::int::int8 from due{members} union all \
         select {}, 0, '', _nizhal_leave()",
        kind::WRITTEN,
        kind::FILED,
        kind::TRIGGERS,
        kind::DUE,
        // Last, when the others have read the settings.
        kind::LEFT,
    )
}
