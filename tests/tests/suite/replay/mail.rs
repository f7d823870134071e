//! A shop whose mutations are counted as they run, and want letters sent.

use super::app::{Claims, Member};
use nizhal::prelude::*;
use nizhal_runtime::schema::Schema;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// A sum that grows.
#[nizhal::table(name = "lines", merge = "replay")]
pub(super) struct Line {
    #[nizhal(primary_key)]
    shop: String,
    #[nizhal(primary_key)]
    id: String,
    amount: i64,
    sum: i64,
}

/// What was sent, and how often.
#[nizhal::table(name = "letters")]
pub(super) struct Letter {
    #[nizhal(primary_key)]
    id: String,
    shop: String,
    text: String,
    times: i64,
}

sync_rules! {
    rules for Claims;
    rule shops(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Line where Line.shop == shop;
        Letter where Letter.shop == shop;
    }
}

/// How often mutators ran, by shop.
static RUNS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// How often mutators ran in a shop since it was asked last.
pub(super) fn runs(shop: &str) -> usize {
    RUNS.lock().unwrap_or_else(PoisonError::into_inner).remove(shop).unwrap_or_default()
}

#[nizhal::args]
pub(super) struct Add {
    shop: String,
    id: String,
    amount: i64,
    /// Where the letter's job is to write, if not in its shop.
    elsewhere: Option<String>,
    /// Whether it wants a letter.
    letter: bool,
}

/// Adds to the sum of all before, which never exceeds 100, and has the sum sent.
#[mutator(replay(shops = args.shop))]
pub(super) async fn add(ctx: &mut Ctx<Claims>, args: Add) -> Result<Applied> {
    *RUNS.lock().unwrap_or_else(PoisonError::into_inner).entry(args.shop.clone()).or_default() += 1;
    let lines = Line::find().filter(LineColumn::Shop.eq(&*args.shop)).all(ctx.db()).await?;
    let sum = lines.iter().map(|line| line.amount).sum::<i64>() + args.amount;
    if sum > 100 {
        return Err(reject!("too much"));
    }
    let (shop, id) = (args.shop.clone(), args.id.clone());
    LineActive { shop: Set(shop), id: Set(id), amount: Set(args.amount), sum: Set(sum) }.insert(ctx.db()).await?;
    if args.letter {
        let text = format!("{} makes {sum}", args.id);
        let letter = SendLetter { id: format!("{}/{}", args.shop, args.id), shop: args.shop, text };
        let job = ctx.jobs().enqueue(send_letter, letter)?;
        if let Some(elsewhere) = args.elsewhere {
            job.in_bucket(elsewhere);
        }
    }
    Ok(Applied::done())
}

#[nizhal::args]
pub(super) struct SendLetter {
    id: String,
    shop: String,
    text: String,
}

/// Sends a letter, and counts how often.
#[nizhal::job]
pub(super) async fn send_letter(ctx: &mut JobCtx, args: SendLetter) -> Result<()> {
    let SendLetter { id, shop, text } = args;
    match Letter::find_by_id(id.clone()).one(ctx.db()).await? {
        Some(letter) => {
            let times = Set(letter.times + 1);
            LetterActive { times, ..letter.into() }.update(ctx.db()).await?;
        }
        None => {
            LetterActive { id: Set(id), shop: Set(shop), text: Set(text), times: Set(1) }.insert(ctx.db()).await?;
        }
    }
    Ok(())
}

pub(super) fn schema() -> Schema {
    let schema = Schema::new(tables![Member, Line, Letter], rules().into_inner(), mutators![add]);
    schema.expect("a sound schema").with_jobs(jobs![send_letter]).expect("sound jobs")
}

/// A mutation of a device, so many milliseconds after the first.
pub(super) fn sent(shop: &str, (device, number): (usize, i64), after: i64, amount: i64) -> Value {
    let time = DateTimeUtc::from_timestamp_millis(1_796_000_000_000 + after).expect("a time");
    let stamp = format!("{}-0000-{:032x}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ"), device + 1);
    let id = format!("{device}.{number}");
    json!({
        "name": "add", "args": {"shop": shop, "id": id, "amount": amount, "letter": false},
        "clientMutationId": format!("{shop}:{id}"), "clientID": format!("{shop}:{device}"), "mutationID": number, "hlc": stamp,
    })
}

/// The same, which wants a letter.
pub(super) fn with_letter(mut sent: Value) -> Value {
    sent["args"]["letter"] = true.into();
    sent
}
