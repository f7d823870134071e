//! The triggers of replayed tables on SQLite, which keep the images of rows and refuse writes past their order.
//!
//! They run before the write: after it, the trigger that gives a row its version may have run already, which writes the row again.

use crate::store::{
    replay::Images,
    sql::{literal, quote},
};

/// The bodies of a table's triggers. Where a space is set and no place, the engine takes rows back.
pub(super) fn triggers(images: &Images<'_>) -> [(&'static str, String); 3] {
    let on = quote(images.table().name);
    let refused = format!(
        "  select raise(abort, {}) from _nizhal_replay p where p.space is null and not p.checkpoint;\n",
        literal(&images.refusal())
    );
    let settled = |row: &str| -> String {
        let settle = |space: String| {
            format!(
                "  update _nizhal_spaces set settled = head where space = {space} and settled < head \
                 and (select p.space is null from _nizhal_replay p);\n"
            )
        };
        images.spaces_of(row).into_iter().map(settle).collect()
    };
    let placed = "_nizhal_replay p";
    let kept = |row: &str, is_present| format!("  {} and p.pos is not null", images.keep(row, is_present, placed));
    let exists = format!("exists (select 1 from {on} t where not ({}))", images.other_key("t", "new"));
    [
        // A row that is there already is updated by this statement, or it stays.
        (
            "replay_insert",
            format!(
                "before insert on {on} begin\n{refused}{}{} and not {exists};\nend",
                settled("new"),
                kept("new", false)
            ),
        ),
        (
            "replay_update",
            format!(
                "before update on {on} begin\n{refused}{}{}{};\n{} and {} and not {exists};\nend",
                settled("old"),
                settled("new"),
                kept("old", true),
                kept("new", false),
                images.other_key("new", "old"),
            ),
        ),
        (
            "replay_delete",
            format!("before delete on {on} begin\n{refused}{}{};\nend", settled("old"), kept("old", true)),
        ),
    ]
}
