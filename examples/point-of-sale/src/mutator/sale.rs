//! The drawer: sales and refunds.

use super::{Move, product};
use crate::claims::Claims;
use crate::table::{
    ProductId, Reason, Sale, SaleActive, SaleId, SaleLine, SaleLineActive, SaleLineColumn, SaleState, ShopId,
    StockMovement, TillId,
};
use nizhal::prelude::*;

/// One line of what is sold.
#[nizhal::args]
pub struct Line {
    pub product_id: ProductId,
    pub pieces: i32,
    /// What was paid for a piece: the till's price of that moment, which the shop may have changed since.
    pub price: Decimal,
}

/// What `sell` takes.
#[nizhal::args]
pub struct Sell {
    /// The sale's id, made by the till.
    pub client_id: SaleId,
    pub shop_id: ShopId,
    pub till_id: TillId,
    pub lines: Vec<Line>,
}

/// Sells: the sale, its lines and the stock that went, all or nothing.
///
/// It is not refused when the shelf should be empty: the customer has left with the goods, and a till that was offline cannot have
/// known. The stock falls below zero, where the next count finds it.
#[mutator]
pub async fn sell(ctx: &mut Ctx<Claims>, args: Sell) -> Result<Applied> {
    let Sell { client_id: id, shop_id, till_id, lines } = args;
    if lines.is_empty() {
        return Err(reject!("a sale has at least one line"));
    }
    if Sale::find_by_id(id.clone()).one(ctx.db()).await?.is_some() {
        return Err(reject!("a sale with this clientId exists already"));
    }
    let (by, at) = (ctx.actor().user_id.clone(), ctx.now());
    let mut total = Decimal::ZERO;
    let (mut rows, mut gone) = (Vec::new(), Vec::new());
    for (at_line, line) in (1..).zip(&lines) {
        if line.pieces < 1 || line.price < Decimal::ZERO {
            return Err(reject!("line {at_line} sells at least one piece at a price that is not below zero"));
        }
        let product = product(ctx, &line.product_id).await?;
        if product.shop_id != shop_id {
            return Err(reject!("line {at_line} sells a product of another shop"));
        }
        let price = line.price.checked_mul(line.pieces.into()).and_then(|price| total.checked_add(price));
        total = price.ok_or_else(|| reject!("line {at_line} costs more than can be counted"))?;
        rows.push(SaleLineActive {
            sale_id: Set(id.clone()),
            line: Set(at_line),
            shop_id: Set(shop_id.clone()),
            till_id: Set(till_id.clone()),
            product_id: Set(line.product_id.clone()),
            pieces: Set(line.pieces),
            price: Set(line.price),
        });
        let went = Move {
            id: format!("{id}/{at_line}"),
            shop_id: &shop_id,
            product_id: &line.product_id,
            pieces: -line.pieces,
            reason: Reason::Sold,
        };
        gone.push(went.row(&by, at));
    }
    // Taken last: others of this shop wait for it.
    let mut invoice = None;
    if let Some(server) = ctx.server() {
        invoice = Some(server.next_in_bucket("invoice", &shop_id.to_string()).await?);
    }
    SaleActive {
        id: Set(id),
        shop_id: Set(shop_id),
        till_id: Set(till_id),
        total: Set(total),
        invoice: Set(invoice),
        state: Set(SaleState::Paid),
        at: Set(at),
        by: Set(by),
    }
    .insert(ctx.db())
    .await?;
    SaleLine::insert_many(rows).exec(ctx.db()).await?;
    StockMovement::insert_many(gone).exec(ctx.db()).await?;
    Ok(Applied::done())
}

/// What `refund` takes.
#[nizhal::args]
pub struct Refund {
    pub sale_id: SaleId,
}

/// Takes a whole sale back: the money goes out of the drawer, the goods return to the shelf.
#[mutator]
pub async fn refund(ctx: &mut Ctx<Claims>, args: Refund) -> Result<Applied> {
    let Some(sale) = ctx.visible(Sale::find_by_id(args.sale_id.clone())).one(ctx.db()).await? else {
        return Err(reject!("there is no sale {}", args.sale_id));
    };
    if sale.state == SaleState::Refunded {
        return Err(reject!("sale {} is refunded already", sale.id));
    }
    let (by, at) = (ctx.actor().user_id.clone(), ctx.now());
    let lines = SaleLine::find().filter(SaleLineColumn::SaleId.eq(sale.id.clone())).all(ctx.db()).await?;
    let back = lines.iter().map(|line| {
        let came = Move {
            id: format!("{}/{}/back", line.sale_id, line.line),
            shop_id: &line.shop_id,
            product_id: &line.product_id,
            pieces: line.pieces,
            reason: Reason::Returned,
        };
        came.row(&by, at)
    });
    StockMovement::insert_many(back).exec(ctx.db()).await?;
    let mut sale = sale.into_active_model();
    sale.state = Set(SaleState::Refunded);
    sale.update(ctx.db()).await?;
    Ok(Applied::done())
}
