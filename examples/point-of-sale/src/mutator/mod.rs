//! What a till can do.

mod sale;
mod stock;

pub use sale::{refund, sell};
pub use stock::{add_product, count_stock, receive_stock, set_price};

use crate::table::{Product, ProductId, Reason, ShopId, StockMovementActive};
use nizhal::prelude::*;

/// The product, when it is one that the actor sees, or a refusal.
async fn product<A: Actor>(ctx: &Ctx<A>, id: &ProductId) -> Result<Product> {
    let found = ctx.visible(Product::find_by_id(id.clone())).one(ctx.db()).await?;
    found.ok_or_else(|| reject!("there is no product {id}"))
}

/// Pieces of a product that come or go.
struct Move<'a> {
    id: String,
    shop_id: &'a ShopId,
    product_id: &'a ProductId,
    pieces: i32,
    reason: Reason,
}

impl Move<'_> {
    /// As a row, by the actor and at the mutation's time.
    fn row(self, by: &str, at: DateTimeUtc) -> StockMovementActive {
        StockMovementActive {
            id: Set(self.id),
            shop_id: Set(self.shop_id.clone()),
            product_id: Set(self.product_id.clone()),
            pieces: Set(self.pieces),
            reason: Set(self.reason),
            at: Set(at),
            by: Set(by.to_owned()),
        }
    }
}
