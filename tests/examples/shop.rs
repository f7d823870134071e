//! The server that the TypeScript client's tests start beside the ledger's: replayed tables, priorities, and a rule on demand.

use nizhal::prelude::*;

/// What a token says.
#[nizhal::claims]
pub struct Claims {
    /// The user.
    pub user_id: String,
    /// The account.
    pub owner_id: String,
}

/// Who may work in a shop.
#[nizhal::table(name = "members", server_only)]
pub struct Member {
    /// The shop.
    #[nizhal(primary_key)]
    pub shop: String,
    /// The user.
    #[nizhal(primary_key)]
    pub user_id: String,
}

/// What a user prefers.
#[nizhal::table(name = "settings")]
pub struct Setting {
    /// Its name.
    #[nizhal(primary_key)]
    pub id: String,
    /// The user.
    pub owner: String,
}

/// One holder for a slot, whoever took it first.
#[nizhal::table(name = "slots", merge = "replay")]
pub struct Slot {
    /// The shop.
    #[nizhal(primary_key)]
    pub shop: String,
    /// The slot.
    #[nizhal(primary_key)]
    pub slot: String,
    /// Who has it.
    pub holder: String,
}

/// What can be sold.
#[nizhal::table(name = "stock", merge = "replay")]
pub struct Stock {
    /// The shop.
    #[nizhal(primary_key)]
    pub shop: String,
    /// What it is.
    #[nizhal(primary_key)]
    pub item: String,
    /// How many there are.
    pub quantity: i64,
}

/// A note of a shop.
#[nizhal::table(name = "notes")]
pub struct Note {
    /// Its name.
    #[nizhal(primary_key)]
    pub id: String,
    /// The shop.
    pub shop: String,
}

/// What all shops sell.
#[nizhal::table(name = "products")]
pub struct Product {
    /// Its name.
    #[nizhal(primary_key)]
    pub id: String,
}

sync_rules! {
    pub rules for Claims;

    #[priority = 200]
    public rule catalog() { Product; }

    rule shops(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Slot where Slot.shop == shop;
        Stock where Stock.shop == shop;
    }

    #[priority = 1]
    rule mine(owner) {
        owner = actor.user_id;
        Setting where Setting.owner == owner;
    }

    #[on_demand(ttl = "1h")]
    rule shop_notes(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Note where Note.shop == shop;
    }
}

/// What is taken, and for whom.
#[nizhal::args]
pub struct Take {
    /// The shop.
    pub shop: String,
    /// The slot.
    pub slot: String,
    /// Who is to have it.
    pub holder: String,
}

/// Takes a free slot.
#[mutator(replay(shops = args.shop))]
pub async fn take(ctx: &mut Ctx<Claims>, args: Take) -> Result<Applied> {
    let Take { shop, slot, holder } = args;
    if Slot::find_by_id((shop.clone(), slot.clone())).one(ctx.db()).await?.is_some() {
        return Err(reject!("the slot is taken"));
    }
    SlotActive { shop: Set(shop), slot: Set(slot), holder: Set(holder) }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

/// An item and how many of it.
#[nizhal::args]
pub struct Goods {
    /// The shop.
    pub shop: String,
    /// What it is.
    pub item: String,
    /// How many.
    pub quantity: i64,
}

/// Puts goods into the stock.
#[mutator(replay(shops = args.shop))]
pub async fn restock(ctx: &mut Ctx<Claims>, args: Goods) -> Result<Applied> {
    let Goods { shop, item, quantity } = args;
    match Stock::find_by_id((shop.clone(), item.clone())).one(ctx.db()).await? {
        Some(stock) => {
            let more = Set(stock.quantity + quantity);
            StockActive { quantity: more, ..stock.into() }.update(ctx.db()).await?;
        }
        None => {
            StockActive { shop: Set(shop), item: Set(item), quantity: Set(quantity) }.insert(ctx.db()).await?;
        }
    }
    Ok(Applied::done())
}

/// Never sells more than is there.
#[mutator(replay(shops = args.shop))]
pub async fn buy(ctx: &mut Ctx<Claims>, args: Goods) -> Result<Applied> {
    let Goods { shop, item, quantity } = args;
    let stock = Stock::find_by_id((shop, item)).one(ctx.db()).await?;
    let stock = stock.filter(|stock| stock.quantity >= quantity).ok_or_else(|| reject!("sold out"))?;
    let left = Set(stock.quantity - quantity);
    StockActive { quantity: left, ..stock.into() }.update(ctx.db()).await?;
    Ok(Applied::done())
}

/// A note to add.
#[nizhal::args]
pub struct Noted {
    /// Its name.
    pub id: String,
    /// The shop.
    pub shop: String,
}

/// Adds a note.
#[mutator]
pub async fn add_note(ctx: &mut Ctx<Claims>, args: Noted) -> Result<Applied> {
    NoteActive { id: Set(args.id), shop: Set(args.shop) }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::main]
async fn main() -> nizhal::Result<()> {
    Nizhal::app("shop")
        .tables(tables![Member, Setting, Slot, Stock, Note, Product])
        .mutators(mutators![take, restock, buy, add_note])
        .rules(rules())
        .run()
        .await
}
