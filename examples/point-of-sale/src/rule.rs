//! Who may see what.

use crate::claims::Claims;
use crate::table::{Product, Sale, SaleLine, Staff, StockMovement, TillKeeper};
use nizhal::prelude::*;

sync_rules! {
    pub till_rules for Claims;

    /// The shelf: everybody in a shop sees its products and its stock.
    rule my_shops(shop_id) {
        shop_id in Staff.shop_id where Staff.user_id == actor.user_id;

        Product where Product.shop_id == shop_id;
        StockMovement where StockMovement.shop_id == shop_id;
    }

    /// The drawer: a till's sales are for those who keep it, and only while they work in its shop.
    rule my_tills(shop_id, till_id) {
        shop_id in Staff.shop_id where Staff.user_id == actor.user_id;
        till_id in TillKeeper.till_id where TillKeeper.user_id == actor.user_id;

        Sale where Sale.shop_id == shop_id && Sale.till_id == till_id;
        SaleLine where SaleLine.shop_id == shop_id && SaleLine.till_id == till_id;
    }
}
