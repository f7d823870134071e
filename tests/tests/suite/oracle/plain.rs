//! The other side: random changes and the visible rows, in SQL that knows nothing of the engine.

use super::{app::Variant, random::Random};
use nizhal_tests::{Connection, Kind};
use std::collections::BTreeSet;

pub(super) const USERS: [&str; 3] = ["ann", "bob", "eve"];
/// `7` is a shop and a channel: equal names in two rules.
const SHOPS: [&str; 3] = ["7", "s1", "s/2"];
const CHANNELS: [i64; 2] = [7, 8];

/// A row as the oracle compares it: its table, and its columns as text.
pub(super) type Row = (String, Vec<String>);

/// One random change: of a row, of several, or of a membership.
pub(super) fn change(random: &mut Random, kind: Kind) -> String {
    let (yes, no) = if kind == Kind::Postgres { ("true", "false") } else { ("1", "0") };
    let flag = if random.one_in(3) { yes } else { no };
    let (shop, user, channel) = (*random.pick(&SHOPS), *random.pick(&USERS), *random.pick(&CHANNELS));
    let (item, note) = (format!("i{}", random.below(8)), random.below(4));
    let id_is = format!("id = '{item}'");
    let note_is = format!("shop_id = '{shop}' and n = {note}");
    match random.below(24) {
        0..=3 => {
            let client = if random.one_in(2) { format!("'{item}'") } else { format!("'k-{item}'") };
            format!(
                "insert into items (id, shop_id, channel, owner, hidden, client_id) \
                 values ('{item}', '{shop}', {channel}, '{user}', {flag}, {client})"
            )
        }
        4 => format!("update items set shop_id = '{shop}' where {id_is}"),
        5 => format!("update items set channel = {channel}, hidden = {flag} where {id_is}"),
        6 => format!("update items set hidden = {flag}"),
        7 => format!("delete from items where {id_is}"),
        8 => format!("delete from items where shop_id = '{shop}'"),
        9 => format!("update items set deleted_at = '2026-01-01T00:00:00+00:00' where {id_is}"),
        10 => format!("update items set deleted_at = null where {id_is}"),
        11 | 12 => format!("insert into notes (shop_id, n, owner) values ('{shop}', {note}, '{user}')"),
        13 => format!("update notes set state = '{}' where {note_is}", random.pick(&["open", "closed"])),
        14 => format!("update notes set owner = '{user}', n = n + 10 where {note_is}"),
        15 => format!("delete from notes where {note_is}"),
        16..=18 => format!("insert into shop_members (shop_id, user_id) values ('{shop}', '{user}')"),
        _ => match random.below(4) {
            0 => format!("delete from shop_members where shop_id = '{shop}' and user_id = '{user}'"),
            1 => format!(
                "update shop_members set role = '{}' where user_id = '{user}'",
                random.pick(&["staff", "banned"])
            ),
            2 => format!("insert into channel_members (channel, user_id) values ({channel}, '{user}')"),
            _ => format!("delete from channel_members where channel = {channel} and user_id = '{user}'"),
        },
    }
}

/// What the user may see now.
pub(super) async fn visible(db: &mut Connection, variant: Variant, user: &str) -> BTreeSet<Row> {
    let shops = format!("select shop_id from shop_members where user_id = '{user}' and role <> 'banned'");
    let channels = format!("select channel from channel_members where user_id = '{user}'");
    let (items, notes) = match variant {
        Variant::Overlapping => (
            format!("(not hidden and shop_id in ({shops})) or channel in ({channels})"),
            format!("shop_id in ({shops}) and (state = 'open' or owner = '{user}')"),
        ),
        Variant::Single => {
            (format!("not hidden and shop_id in ({shops})"), format!("state = 'open' and shop_id in ({shops})"))
        }
        Variant::Disjoint => (format!("channel in ({channels})"), format!("state = 'open' and shop_id in ({shops})")),
    };
    let items = format!(
        "select id, shop_id, cast(channel as text), owner, case when hidden then 'true' else 'false' end from items \
         where deleted_at is null and ({items})"
    );
    let notes =
        format!("select shop_id, cast(n as text), owner, state from notes where deleted_at is null and ({notes})");
    let mut rows = BTreeSet::new();
    for (table, sql) in [("items", items), ("notes", notes)] {
        for row in db.rows(&sql).await {
            rows.insert((table.to_owned(), row.into_iter().map(Option::unwrap_or_default).collect()));
        }
    }
    rows
}
