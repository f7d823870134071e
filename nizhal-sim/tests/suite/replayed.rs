//! An app whose tables are replayed: an account that is never overdrawn, seats that one may have, a queue whose numbers follow from what
//! came before; and the same disasters.

use nizhal::prelude::*;
use nizhal::{MutatorEntry, TableDesc};
use nizhal_sim::{App, Draw, Effect, Step};
use serde_json::{Value, json};

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "members", server_only)]
struct Member {
    #[nizhal(primary_key)]
    shop: String,
    #[nizhal(primary_key)]
    user_id: String,
}

/// The first of the synced tables by name: the next version of the schema gives it a column.
#[nizhal::table(name = "accounts", merge = "replay")]
struct Account {
    #[nizhal(primary_key)]
    shop: String,
    #[nizhal(primary_key)]
    name: String,
    amount: i64,
}

#[nizhal::table(name = "entries", merge = "replay")]
struct Entry {
    #[nizhal(primary_key)]
    id: Uuid,
    shop: String,
    of: String,
    amount: i64,
    /// What the account had then.
    left: i64,
    luck: i64,
    by: String,
    at: DateTimeUtc,
}

/// One holder for a seat, and one seat for a holder.
#[nizhal::table(name = "seats", merge = "replay")]
struct Seat {
    #[nizhal(primary_key)]
    shop: String,
    #[nizhal(primary_key)]
    seat: String,
    #[nizhal(unique)]
    holder: Option<String>,
}

/// A table that is not replayed, in the same bucket.
#[nizhal::table(name = "remarks", merge = "field")]
struct Remark {
    #[nizhal(primary_key)]
    id: String,
    shop: String,
    text: String,
}

sync_rules! {
    rules for Claims;

    rule my_shops(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;

        Account where Account.shop == shop;
        Entry where Entry.shop == shop;
        Seat where Seat.shop == shop;
        Remark where Remark.shop == shop;
    }
}

#[nizhal::args]
struct Pay {
    shop: String,
    of: String,
    name: String,
    amount: i64,
}

/// Adds to an account, or takes from it; never more than it has.
#[mutator(replay(my_shops = args.shop))]
async fn pay(ctx: &mut Ctx<Claims>, args: Pay) -> Result<Applied> {
    let Pay { shop, of, name, amount } = args;
    let known = Entry::find().filter(EntryColumn::Shop.eq(&*shop)).filter(EntryColumn::Of.eq(&*of));
    if known.one(ctx.db()).await?.is_some() {
        return Err(reject!("that is paid"));
    }
    let account = ctx.visible(Account::find_by_id((shop.clone(), name.clone()))).one(ctx.db()).await?;
    let left = account.as_ref().map_or(0, |account| account.amount) + amount;
    if left < 0 {
        return Err(reject!("there is not as much"));
    }
    match account {
        Some(account) => {
            AccountActive { amount: Set(left), ..account.into() }.update(ctx.db()).await?;
        }
        None => {
            AccountActive { shop: Set(shop.clone()), name: Set(name), amount: Set(left) }.insert(ctx.db()).await?;
        }
    }
    let luck = i64::try_from(ctx.random().below(1_000)).unwrap_or_default();
    let (id, at, by) = (ctx.new_id(), ctx.now(), ctx.actor().user_id.clone());
    EntryActive {
        id: Set(id),
        shop: Set(shop),
        of: Set(of),
        amount: Set(amount),
        left: Set(left),
        luck: Set(luck),
        by: Set(by),
        at: Set(at),
    }
    .insert(ctx.db())
    .await?;
    Ok(Applied::id(id.to_string()))
}

#[nizhal::args]
struct Take {
    shop: String,
    seat: String,
    holder: String,
}

/// Moves somebody to a free seat.
#[mutator(replay(my_shops = args.shop))]
async fn take(ctx: &mut Ctx<Claims>, args: Take) -> Result<Applied> {
    let Take { shop, seat, holder } = args;
    if Seat::find_by_id((shop.clone(), seat.clone())).one(ctx.db()).await?.is_some() {
        return Err(reject!("the seat is taken"));
    }
    let holder = format!("{shop}/{holder}");
    Seat::delete_many()
        .filter(SeatColumn::Shop.eq(&*shop))
        .filter(SeatColumn::Holder.eq(&*holder))
        .exec(ctx.db())
        .await?;
    SeatActive { shop: Set(shop), seat: Set(seat), holder: Set(Some(holder)) }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

/// Frees a seat; nobody may have it.
#[mutator(replay(my_shops = args.shop))]
async fn free(ctx: &mut Ctx<Claims>, args: Take) -> Result<Applied> {
    let held = Seat::find_by_id((args.shop, args.seat)).one(ctx.db()).await?;
    held.ok_or_else(|| reject!("nobody has the seat"))?.delete(ctx.db()).await?;
    Ok(Applied::done())
}

/// Leaves a seat to nobody, and panics where it is left already.
#[mutator(replay(my_shops = args.shop))]
async fn close(ctx: &mut Ctx<Claims>, args: Take) -> Result<Applied> {
    let held = Seat::find_by_id((args.shop, args.seat)).one(ctx.db()).await?;
    let held = held.ok_or_else(|| reject!("nobody has the seat"))?;
    assert!(held.holder.is_some(), "it is closed already");
    SeatActive { holder: Set(None), ..held.into() }.update(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
struct Remarked {
    shop: String,
    id: String,
}

#[mutator]
async fn remark(ctx: &mut Ctx<Claims>, args: Remarked) -> Result<Applied> {
    if Remark::find_by_id(&*args.id).one(ctx.db()).await?.is_some() {
        return Err(reject!("it is said"));
    }
    let text = Set("well".to_owned());
    RemarkActive { id: Set(args.id), shop: Set(args.shop), text }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

struct Replayed;

impl App for Replayed {
    type Claims = Claims;

    fn tables(&self) -> Vec<&'static TableDesc> {
        tables![Member, Account, Entry, Seat, Remark]
    }
    fn mutators(&self) -> Vec<MutatorEntry> {
        mutators![pay, take, free, close, remark]
    }
    fn rules(&self) -> nizhal::Rules<Claims> {
        rules()
    }
    fn users(&self) -> Vec<Claims> {
        ["ana", "ben"].map(|user| Claims { user_id: user.to_owned(), owner_id: "o".to_owned() }).into()
    }
    fn hostile(&self) -> Option<Claims> {
        Some(Claims { user_id: "eve".to_owned(), owner_id: "o".to_owned() })
    }
    fn seed(&self) -> Vec<String> {
        vec![
            "insert into members (shop, user_id) values ('s1', 'ana'), ('s2', 'ana'), ('s1', 'ben'), ('s3', 'eve')"
                .to_owned(),
        ]
    }
    fn args(&self, mutator: &str, draw: &mut Draw<'_>) -> Option<Value> {
        let shop = *draw.pick(&["s1", "s1", "s1", "s2", "s3"]);
        Some(match mutator {
            "pay" => {
                let amount = *draw.pick(&[-40, -30, -20, 10, 20, 50]);
                json!({"shop": shop, "of": draw.fresh, "name": draw.pick(&["till", "safe"]), "amount": amount})
            }
            "remark" => json!({"shop": shop, "id": draw.fresh}),
            _ => json!({"shop": shop, "seat": draw.pick(&["p", "q"]), "holder": draw.pick(&["a", "b", "c"])}),
        })
    }
    fn effect(&self, mutator: &str, args: &Value) -> Option<Effect> {
        let of = args.get("of").and_then(Value::as_str).filter(|_| mutator == "pay")?;
        Some(Effect { count: format!("select count(*) from entries where of = '{of}'"), always: false })
    }
    fn untouched(&self) -> Vec<&'static str> {
        vec!["entries"]
    }
}

#[test]
fn inv37_inv38_what_was_done_offline_ends_as_in_the_plain_loop_whatever_happens() {
    println!("{:#?}", nizhal_sim::check(Replayed));
}

/// The seeds are fixed ones: a few that the commit chose may lack a rare kind.
#[test]
fn what_is_replayed_meets_what_it_must_outlive() {
    let report = nizhal_sim::check_range(Replayed, 0..100);
    let kinds = [
        "grant",
        "mutation that came late",
        "restore, untold",
        "result that became another",
        "revoke",
        "server killed within",
        "server upgraded",
        "write past the order",
    ];
    let unused: Vec<&str> = kinds.into_iter().filter(|kind| !report.counts.contains_key(kind)).collect();
    assert!(unused.is_empty(), "no seed had {unused:?}: {report:#?}");
}

/// What a device has not sent yet outlives a history that begins again, and takes its place in it.
#[test]
fn inv10_inv37_pending_mutations_outlive_a_new_epoch_and_a_restore() {
    let write = |device, draw| Step::Write { device, mutator: 0, draw, after: false };
    for history in [vec![Step::NewEpoch], vec![Step::Restore { told: true }], vec![Step::Restore { told: false }]] {
        let mut script: Vec<Step> = (0..6).map(|draw| write(0, draw)).collect();
        script.extend([Step::Sync(0), Step::Backup, Step::Offline(1)]);
        for draw in 6..14 {
            script.extend([write(u8::try_from(draw % 3).unwrap_or(0), draw), Step::Wait(3)]);
        }
        script.extend([Step::Sync(0), Step::Sync(2)]);
        script.extend(history);
        script.extend([write(1, 20), Step::Online(1), Step::Sync(1), Step::Nudge(0), Step::Sync(0)]);
        nizhal_sim::replay(Replayed, &script);
    }
}

/// One that was refused waits aside for a person, and neither what the device does next nor what it hears waits for it.
#[test]
fn inv16_inv37_a_refused_mutation_stops_nothing_whatever_becomes_of_the_history() {
    let take = |device, draw| Step::Write { device, mutator: 1, draw, after: false };
    for history in [None, Some(Step::NewEpoch), Some(Step::Restore { told: true })] {
        let mut script = vec![Step::Backup, Step::Offline(0), Step::Offline(1), Step::Offline(2)];
        for draw in 0..15 {
            script.extend([take(u8::try_from(draw % 3).unwrap_or(0), draw), Step::Wait(3)]);
        }
        for device in [2, 1] {
            script.extend([Step::Online(device), Step::Sync(device), Step::Nudge(device), Step::Sync(device)]);
        }
        script.extend(history);
        script.extend([Step::Online(0), Step::Sync(0), Step::Retry(1), Step::Discard(2), take(1, 40), Step::Sync(1)]);
        nizhal_sim::replay(Replayed, &script);
    }
}

/// A device begins with an image of a bucket that was taken back before, and goes on from there.
#[test]
fn inv01_inv37_a_device_begins_with_an_image_and_goes_on() {
    let write = |device, draw| Step::Write { device, mutator: 0, draw, after: false };
    let mut script = vec![Step::Offline(1), Step::Offline(2)];
    for draw in 0..9 {
        script.extend([write(u8::try_from(draw % 3).unwrap_or(0), draw), Step::Wait(3)]);
    }
    script.extend([Step::Sync(0), Step::Online(2), Step::Sync(2), Step::Nudge(2), Step::Sync(2)]);
    script.extend([Step::Image(0), Step::Image(256), write(0, 30), Step::Sync(0)]);
    script.extend([Step::Online(1), Step::Sync(1), Step::Nudge(1), Step::Sync(1)]);
    nizhal_sim::replay(Replayed, &script);
}

/// What is older than the horizon is forgotten, and who was away for longer comes behind it.
#[test]
fn inv38_who_was_away_for_weeks_comes_behind_what_is_settled() {
    let write = |device, draw| Step::Write { device, mutator: 0, draw, after: false };
    let mut script = vec![Step::Offline(1), Step::Offline(2)];
    for draw in 0..9 {
        script.extend([write(u8::try_from(draw % 3).unwrap_or(0), draw), Step::Wait(3)]);
    }
    script.extend([Step::Sync(0), Step::ServerClock(1_300_000_000), Step::Collect, write(0, 30), Step::Sync(0)]);
    script.extend([Step::Online(2), Step::Sync(2), Step::Nudge(2), Step::Sync(2)]);
    // A server whose clock goes back must not give away what is settled.
    script.extend([Step::ServerClock(-1_300_000_000), write(0, 31), Step::Sync(0)]);
    script.extend([Step::Online(1), Step::Sync(1), Step::Nudge(1), Step::Sync(1)]);
    nizhal_sim::replay(Replayed, &script);
}

/// A life without a disaster, of which the seeds say little: two users, who each do something while the other cannot be heard.
#[test]
fn inv37_two_who_were_offline_end_as_in_the_plain_loop() {
    let write = |device, draw| Step::Write { device, mutator: 0, draw, after: false };
    let mut script = vec![Step::Offline(0), Step::Offline(1), Step::Offline(2)];
    for draw in 0..12 {
        script.extend([write(u8::try_from(draw % 3).unwrap_or(0), draw), Step::Wait(5)]);
    }
    for device in [1, 2, 0] {
        script.extend([Step::Online(device), Step::Sync(device), Step::Nudge(device), Step::Sync(device)]);
    }
    nizhal_sim::replay(Replayed, &script);
}
