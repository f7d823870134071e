//! Who may see what.

use crate::claims::Claims;
use crate::table::{Customer, LedgerEntry, Reminder, ShopMember};
use nizhal::prelude::*;

sync_rules! {
    pub ledger_rules for Claims;

    /// Everything that a member of a shop may see.
    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id;

        Customer where Customer.shop_id == shop_id;
        LedgerEntry where LedgerEntry.shop_id == shop_id;
        Reminder where Reminder.shop_id == shop_id;
    }
}
