//! A small app: notes and letters in shops, receipts that count what ran, and mutators that can be refused.

use nizhal::prelude::*;
use nizhal::{MutatorEntry, TableDesc};
use nizhal_sim::{App, Effect};
use serde_json::Value;

#[nizhal::claims]
pub(crate) struct Claims {
    pub user_id: String,
    pub owner_id: String,
}

#[nizhal::table(name = "members", server_only)]
pub(crate) struct Member {
    #[nizhal(primary_key)]
    pub shop_id: String,
    #[nizhal(primary_key)]
    pub user_id: String,
}

/// Who reads a shop's letters: a membership of its own, so that losing one bucket is told apart from losing another.
#[nizhal::table(name = "desks", server_only)]
pub(crate) struct Desk {
    #[nizhal(primary_key)]
    pub shop_id: String,
    #[nizhal(primary_key)]
    pub user_id: String,
}

#[nizhal::table(name = "notes", merge = "field")]
pub(crate) struct Note {
    #[nizhal(primary_key)]
    pub id: String,
    pub shop_id: String,
    pub title: String,
    pub body: Option<String>,
    pub stars: i32,
    #[nizhal(default = false)]
    pub hidden: bool,
}

#[nizhal::table(name = "letters")]
pub(crate) struct Letter {
    #[nizhal(primary_key)]
    pub id: String,
    pub shop_id: String,
    pub to_user: String,
    pub body: String,
    #[nizhal(unique)]
    pub seal: Option<String>,
    #[nizhal(default = now)]
    pub created_at: DateTimeUtc,
}

/// One for each mutation that ran.
#[nizhal::table(name = "receipts")]
pub(crate) struct Receipt {
    #[nizhal(primary_key)]
    pub id: Uuid,
    pub user_id: String,
    pub of: String,
    pub at: DateTimeUtc,
}

sync_rules! {
    pub(crate) shop_rules for Claims;

    rule my_shops(shop_id) {
        shop_id in Member.shop_id where Member.user_id == actor.user_id;

        Note where Note.shop_id == shop_id && Note.hidden == false;
    }

    // A letter on demand may be shown by two rules: who loses one of them must start again.
    #[on_demand(ttl = "1m")]
    rule my_desks(shop_id) {
        shop_id in Desk.shop_id where Desk.user_id == actor.user_id;

        Letter where Letter.shop_id == shop_id;
    }

    #[priority = 1]
    rule my_own(user_id) {
        user_id = actor.user_id;

        Letter where Letter.to_user == user_id;
        Receipt where Receipt.user_id == user_id;
    }
}

#[nizhal::args]
pub(crate) struct AddNote {
    pub id: NonEmpty,
    pub shop_id: String,
    pub title: NonEmpty,
}

#[mutator]
pub(crate) async fn add_note(ctx: &mut Ctx<Claims>, args: AddNote) -> Result<Applied> {
    let id = args.id.into_inner();
    if Note::find_by_id(&*id).one(ctx.db()).await?.is_some() {
        return Err(reject!("there is such a note"));
    }
    NoteActive {
        id: Set(id.clone()),
        shop_id: Set(args.shop_id),
        title: Set(args.title.into_inner()),
        stars: Set(0),
        ..Default::default()
    }
    .insert(ctx.db())
    .await?;
    Ok(Applied::id(id))
}

#[nizhal::args]
pub(crate) struct EditNote {
    pub note_id: String,
    pub title: Option<String>,
    pub body: Option<String>,
    pub star: bool,
}

#[mutator]
pub(crate) async fn edit_note(ctx: &mut Ctx<Claims>, args: EditNote) -> Result<Applied> {
    let found = Note::find_by_id(&*args.note_id).one(ctx.db()).await?;
    let note = found.ok_or_else(|| reject!("there is no such note"))?;
    let stars = note.stars;
    let mut note = note.into_active_model();
    if let Some(title) = args.title {
        note.title = Set(title);
    }
    if args.body.is_some() {
        note.body = Set(args.body);
    }
    if args.star {
        note.stars = Set(stars + 1);
    }
    note.update(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
pub(crate) struct DropNote {
    pub note_id: String,
}

#[mutator]
pub(crate) async fn drop_note(ctx: &mut Ctx<Claims>, args: DropNote) -> Result<Applied> {
    let found = Note::find_by_id(&*args.note_id).one(ctx.db()).await?;
    found.ok_or_else(|| reject!("there is no such note"))?.delete(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
pub(crate) struct Count {
    pub of: String,
    /// Whether the server is to refuse it.
    pub poison: bool,
    /// Whether the server is to fail at it.
    #[serde(default)]
    pub fault: bool,
}

/// Runs whatever the rows are; twice leaves two receipts.
#[mutator]
pub(crate) async fn count(ctx: &mut Ctx<Claims>, args: Count) -> Result<Applied> {
    if args.poison && ctx.server().is_some() {
        return Err(reject!("poison"));
    }
    if args.fault && ctx.server().is_some() {
        ctx.db().execute_unprepared("insert into nowhere values (1)").await?;
    }
    ReceiptActive {
        id: Set(ctx.new_id()),
        user_id: Set(ctx.actor().user_id.clone()),
        of: Set(args.of),
        at: Set(ctx.now()),
    }
    .insert(ctx.db())
    .await?;
    Ok(Applied::done())
}

pub(crate) struct Shops;

const SHOPS: [&str; 3] = ["s1", "s2", "s3"];

impl App for Shops {
    type Claims = Claims;

    fn tables(&self) -> Vec<&'static TableDesc> {
        tables![Member, Desk, Note, Letter, Receipt]
    }
    fn mutators(&self) -> Vec<MutatorEntry> {
        mutators![add_note, edit_note, drop_note, count]
    }
    fn rules(&self) -> nizhal::Rules<Claims> {
        shop_rules()
    }
    fn users(&self) -> Vec<Claims> {
        ["ana", "ben"].map(|user| Claims { user_id: user.to_owned(), owner_id: "o".to_owned() }).into()
    }
    fn hostile(&self) -> Option<Claims> {
        Some(Claims { user_id: "eve".to_owned(), owner_id: "o".to_owned() })
    }
    fn seed(&self) -> Vec<String> {
        let mut seed = vec![
            "insert into members (shop_id, user_id) values ('s1', 'ana'), ('s2', 'ana'), ('s1', 'ben'), ('s3', 'eve')"
                .to_owned(),
            "insert into desks (shop_id, user_id) values ('s1', 'ana'), ('s2', 'ben')".to_owned(),
        ];
        for (at, shop) in SHOPS.iter().enumerate() {
            seed.push(format!(
                "insert into notes (id, shop_id, title, stars) values ('a{at}', '{shop}', 'A', 0), ('b{at}', '{shop}', 'B', 1)"
            ));
            let to = ["ana", "ben", "cid"][at];
            seed.push(format!(
                "insert into letters (id, shop_id, to_user, body, seal) values ('l{at}', '{shop}', '{to}', 'L', 'S{at}')"
            ));
        }
        seed
    }
    fn args(&self, mutator: &str, draw: &mut nizhal_sim::Draw<'_>) -> Option<Value> {
        match mutator {
            "count" => Some(serde_json::json!({"of": draw.fresh, "poison": draw.one_in(5), "fault": draw.one_in(12)})),
            "addNote" => {
                let shop = *draw.pick(&SHOPS);
                let id = if draw.one_in(6) { draw.id("notes") } else { None };
                let id = id.unwrap_or_else(|| draw.fresh.clone());
                Some(serde_json::json!({"id": id, "shopId": shop, "title": "new"}))
            }
            _ => None,
        }
    }
    fn effect(&self, mutator: &str, args: &Value) -> Option<Effect> {
        let of = args.get("of").and_then(Value::as_str).filter(|_| mutator == "count")?;
        Some(Effect { count: format!("select count(*) from receipts where of = '{of}'"), always: true })
    }
    fn fails(&self, mutator: &str, args: &Value) -> bool {
        let is = |name: &str| args.get(name).and_then(Value::as_bool).unwrap_or_default();
        mutator == "count" && is("fault") && !is("poison")
    }
    fn untouched(&self) -> Vec<&'static str> {
        vec!["receipts"]
    }
}
