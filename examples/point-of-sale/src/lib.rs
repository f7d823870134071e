//! An offline-first till: products, stock as a ledger of movements, sales of several lines, invoices without a gap.
//!
//! A library, so that the server and an app on a till run the same mutators.

pub mod claims;
pub mod mutator;
pub mod rule;
pub mod seed;
pub mod table;

use mutator::{add_product, count_stock, receive_stock, refund, sell, set_price};
use nizhal::prelude::*;
use table::{Product, Sale, SaleLine, Staff, StockMovement, TillKeeper};

/// The server's side of the app.
pub fn app() -> Nizhal {
    Nizhal::app("point-of-sale")
        .tables(tables![Product, Sale, SaleLine, Staff, StockMovement, TillKeeper])
        .mutators(mutators![add_product, set_price, receive_stock, count_stock, sell, refund])
        .rules(rule::till_rules())
        .seed(seed::seed)
        .dev_token("Meena's till", seed::keeper(0))
        .dev_token("Ravi's till", seed::keeper(1))
}
