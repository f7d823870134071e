//! The shelf: products and what is there of them.

use super::{Move, product};
use crate::claims::Claims;
use crate::table::{Product, ProductActive, ProductId, Reason, ShopId, StockMovement, StockMovementColumn};
use nizhal::prelude::*;

/// What `addProduct` takes.
#[nizhal::args]
pub struct AddProduct {
    /// The product's id, made by the device.
    pub client_id: ProductId,
    pub shop_id: ShopId,
    pub name: NonEmpty,
    pub price: Decimal,
    pub barcode: Option<String>,
}

/// Puts a product on the shelf.
#[mutator]
pub async fn add_product(ctx: &mut Ctx<Claims>, args: AddProduct) -> Result<Applied> {
    if Product::find_by_id(args.client_id.clone()).one(ctx.db()).await?.is_some() {
        return Err(reject!("a product with this clientId exists already"));
    }
    ProductActive {
        id: Set(args.client_id),
        shop_id: Set(args.shop_id),
        name: Set(args.name.into_inner()),
        price: Set(at_least_nothing(args.price)?),
        barcode: Set(args.barcode),
    }
    .insert(ctx.db())
    .await?;
    Ok(Applied::done())
}

/// What `setPrice` takes.
#[nizhal::args]
pub struct SetPrice {
    pub product_id: ProductId,
    pub price: Decimal,
}

/// Gives a product another price; what was sold keeps its own.
#[mutator]
pub async fn set_price(ctx: &mut Ctx<Claims>, args: SetPrice) -> Result<Applied> {
    let mut product = product(ctx, &args.product_id).await?.into_active_model();
    product.price = Set(at_least_nothing(args.price)?);
    product.update(ctx.db()).await?;
    Ok(Applied::done())
}

/// What `receiveStock` and `countStock` take.
#[nizhal::args]
pub struct Pieces {
    /// The movement's id, made by the device.
    pub client_id: NonEmpty,
    pub product_id: ProductId,
    pub pieces: i32,
}

/// Pieces come in.
#[mutator]
pub async fn receive_stock(ctx: &mut Ctx<Claims>, args: Pieces) -> Result<Applied> {
    if args.pieces < 1 {
        return Err(reject!("at least one piece comes in, not {}", args.pieces));
    }
    let product = product(ctx, &args.product_id).await?;
    let came = Move {
        id: args.client_id.into_inner(),
        shop_id: &product.shop_id,
        product_id: &product.id,
        pieces: args.pieces,
        reason: Reason::Received,
    };
    came.row(&ctx.actor().user_id, ctx.now()).insert(ctx.db()).await?;
    Ok(Applied::done())
}

/// Somebody counted the shelf: the difference to what the movements say is one movement more.
///
/// Where it runs decides what the difference is: on the device at once, with the sales it knows of; on the server for good, with
/// those of the other tills too. So what was sold elsewhere before the count is not taken off twice.
#[mutator]
pub async fn count_stock(ctx: &mut Ctx<Claims>, args: Pieces) -> Result<Applied> {
    let product = product(ctx, &args.product_id).await?;
    let of_product = StockMovementColumn::ProductId.eq(product.id.clone());
    let movements = StockMovement::find().filter(of_product).all(ctx.db()).await?;
    let known: i32 = movements.iter().map(|movement| movement.pieces).sum();
    if known == args.pieces {
        return Ok(Applied::done());
    }
    let difference = Move {
        id: args.client_id.into_inner(),
        shop_id: &product.shop_id,
        product_id: &product.id,
        pieces: args.pieces - known,
        reason: Reason::Counted,
    };
    difference.row(&ctx.actor().user_id, ctx.now()).insert(ctx.db()).await?;
    Ok(Applied::done())
}

fn at_least_nothing(price: Decimal) -> Result<Decimal> {
    if price < Decimal::ZERO {
        return Err(reject!("a price is not below zero"));
    }
    Ok(price)
}
