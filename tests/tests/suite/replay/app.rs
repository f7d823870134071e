//! A shop whose stock, orders, slots and ledger are replayed: rules that merging rows would break.

use nizhal::prelude::*;
use nizhal::{MutatorEntry, TableDesc};
use nizhal_runtime::schema::Schema;

#[nizhal::claims]
pub(super) struct Claims {
    pub(super) user_id: String,
    pub(super) owner_id: String,
}

/// Who may work in a shop.
#[nizhal::table(name = "members", server_only)]
pub(super) struct Member {
    #[nizhal(primary_key)]
    pub(super) shop: String,
    #[nizhal(primary_key)]
    pub(super) user_id: String,
}

#[nizhal::table(name = "stock", merge = "replay")]
pub(super) struct Stock {
    #[nizhal(primary_key)]
    shop: String,
    #[nizhal(primary_key)]
    item: String,
    quantity: i64,
}

#[nizhal::table(name = "orders", merge = "replay")]
pub(super) struct Order {
    #[nizhal(primary_key)]
    shop: String,
    #[nizhal(primary_key)]
    id: String,
    item: String,
    quantity: i64,
    /// What the context gave the mutation.
    token: Uuid,
    luck: i64,
    made_at: DateTimeUtc,
}

/// One holder for a slot, and one slot for a holder.
#[nizhal::table(name = "slots", merge = "replay")]
pub(super) struct Slot {
    #[nizhal(primary_key)]
    shop: String,
    #[nizhal(primary_key)]
    slot: String,
    #[nizhal(unique)]
    pub(super) holder: Option<String>,
}

#[nizhal::table(name = "entries", merge = "replay")]
pub(super) struct Entry {
    #[nizhal(primary_key)]
    shop: String,
    #[nizhal(primary_key)]
    id: String,
    amount: i64,
    balance: i64,
}

/// A table that is not replayed.
#[nizhal::table(name = "remarks")]
pub(super) struct Remark {
    #[nizhal(primary_key)]
    id: String,
    shop: String,
}

sync_rules! {
    pub(super) rules for Claims;

    rule shops(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Stock where Stock.shop == shop;
        Order where Order.shop == shop;
        Slot where Slot.shop == shop;
        Entry where Entry.shop == shop;
        Remark where Remark.shop == shop;
    }
}

#[nizhal::args]
pub(super) struct Goods {
    shop: String,
    id: String,
    item: String,
    quantity: i64,
}

#[mutator(replay(shops = args.shop))]
pub(super) async fn restock(ctx: &mut Ctx<Claims>, args: Goods) -> Result<Applied> {
    let Goods { shop, item, quantity, .. } = args;
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
pub(super) async fn buy(ctx: &mut Ctx<Claims>, args: Goods) -> Result<Applied> {
    let Goods { shop, id, item, quantity } = args;
    let stock = ctx.visible(Stock::find_by_id((shop.clone(), item.clone()))).one(ctx.db()).await?;
    let stock = stock.filter(|stock| stock.quantity >= quantity).ok_or_else(|| reject!("sold out"))?;
    let left = Set(stock.quantity - quantity);
    StockActive { quantity: left, ..stock.into() }.update(ctx.db()).await?;
    let luck = i64::try_from(ctx.random().below(1_000)).unwrap_or_default();
    let (token, made_at) = (ctx.new_id(), ctx.now());
    OrderActive {
        shop: Set(shop),
        id: Set(id),
        item: Set(item),
        quantity: Set(quantity),
        token: Set(token),
        luck: Set(luck),
        made_at: Set(made_at),
    }
    .insert(ctx.db())
    .await?;
    Ok(Applied::done())
}

#[nizhal::args]
pub(super) struct Cancel {
    shop: String,
    item: String,
}

/// Takes back the last order of an item.
#[mutator(replay(shops = args.shop))]
pub(super) async fn cancel(ctx: &mut Ctx<Claims>, args: Cancel) -> Result<Applied> {
    let Cancel { shop, item } = args;
    let orders = Order::find().filter(OrderColumn::Shop.eq(&*shop)).filter(OrderColumn::Item.eq(&*item));
    let last =
        orders.order_by_desc(OrderColumn::Id).one(ctx.db()).await?.ok_or_else(|| reject!("nothing to cancel"))?;
    let quantity = last.quantity;
    last.delete(ctx.db()).await?;
    let stock = Stock::find_by_id((shop, item)).one(ctx.db()).await?.ok_or_else(|| reject!("no such item"))?;
    let more = Set(stock.quantity + quantity);
    StockActive { quantity: more, ..stock.into() }.update(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
pub(super) struct Take {
    shop: String,
    slot: String,
    holder: String,
}

/// Moves a holder to a free slot.
#[mutator(replay(shops = args.shop))]
pub(super) async fn take(ctx: &mut Ctx<Claims>, args: Take) -> Result<Applied> {
    let Take { shop, slot, holder } = args;
    let held = Slot::find().filter(SlotColumn::Shop.eq(&*shop)).filter(SlotColumn::Holder.eq(&*holder));
    if let Some(held) = held.one(ctx.db()).await? {
        held.delete(ctx.db()).await?;
    }
    if Slot::find_by_id((shop.clone(), slot.clone())).one(ctx.db()).await?.is_some() {
        return Err(reject!("the slot is taken"));
    }
    SlotActive { shop: Set(shop), slot: Set(slot), holder: Set(Some(holder)) }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
pub(super) struct Swap {
    shop: String,
    one: String,
    other: String,
}

/// Has two holders change places: a unique value changes hands.
#[mutator(replay(shops = args.shop))]
pub(super) async fn swap(ctx: &mut Ctx<Claims>, args: Swap) -> Result<Applied> {
    let Swap { shop, one, other } = args;
    let one = Slot::find_by_id((shop.clone(), one)).one(ctx.db()).await?.ok_or_else(|| reject!("a slot is free"))?;
    let other = Slot::find_by_id((shop, other)).one(ctx.db()).await?.ok_or_else(|| reject!("a slot is free"))?;
    let (holder, next) = (one.holder.clone(), other.holder.clone());
    let one = SlotActive { holder: Set(None), ..one.into() }.update(ctx.db()).await?;
    SlotActive { holder: Set(holder), ..other.into() }.update(ctx.db()).await?;
    SlotActive { holder: Set(next), ..one.into() }.update(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
pub(super) struct Pay {
    shop: String,
    id: String,
    amount: i64,
}

/// Reads the sum of all before it, and never lets it fall below -50.
#[mutator(replay(shops = args.shop))]
pub(super) async fn pay(ctx: &mut Ctx<Claims>, args: Pay) -> Result<Applied> {
    let Pay { shop, id, amount } = args;
    super::kill::linger(&id).await;
    let entries = Entry::find().filter(EntryColumn::Shop.eq(&*shop)).all(ctx.db()).await?;
    let balance = entries.iter().map(|entry| entry.amount).sum::<i64>() + amount;
    if balance < -50 {
        return Err(reject!("no more credit"));
    }
    EntryActive { shop: Set(shop), id: Set(id), amount: Set(amount), balance: Set(balance) }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

/// Panics where nothing is in stock yet.
#[mutator(replay(shops = args.shop))]
pub(super) async fn count(ctx: &mut Ctx<Claims>, args: Cancel) -> Result<Applied> {
    let stock = Stock::find_by_id((args.shop, args.item)).one(ctx.db()).await?;
    assert!(stock.is_none_or(|stock| stock.quantity < 100), "too much to count");
    Ok(Applied::done())
}

/// Writes a row of another shop.
#[mutator(replay(shops = args.shop))]
pub(super) async fn stray(ctx: &mut Ctx<Claims>, args: Pay) -> Result<Applied> {
    EntryActive { shop: Set(args.id.clone()), id: Set(args.id), amount: Set(args.amount), balance: Set(0) }
        .insert(ctx.db())
        .await?;
    Ok(Applied::done())
}

/// Writes a table that is not replayed.
#[mutator(replay(shops = args.shop))]
pub(super) async fn remark(ctx: &mut Ctx<Claims>, args: Cancel) -> Result<Applied> {
    RemarkActive { id: Set(args.item), shop: Set(args.shop) }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

/// Writes a replayed table and is not replayed itself.
#[mutator]
pub(super) async fn sneak(ctx: &mut Ctx<Claims>, args: Pay) -> Result<Applied> {
    EntryActive { shop: Set(args.shop), id: Set(args.id), amount: Set(args.amount), balance: Set(0) }
        .insert(ctx.db())
        .await?;
    Ok(Applied::done())
}

pub(super) fn tables() -> Vec<&'static TableDesc> {
    tables![Member, Stock, Order, Slot, Entry, Remark]
}

pub(super) fn mutators() -> Vec<MutatorEntry> {
    mutators![restock, buy, cancel, take, swap, pay, count, stray, remark, sneak]
}

pub(super) fn schema() -> Schema {
    Schema::new(tables(), rules().into_inner(), mutators()).expect("a sound schema")
}

/// The claims of a user.
pub(super) fn claims(user: &str) -> Claims {
    Claims { user_id: user.to_owned(), owner_id: "o".to_owned() }
}
