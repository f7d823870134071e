//! What a development start finds in an empty database: one shop with two tills, those who keep them, and a full shelf.

use crate::claims::Claims;
use crate::table::{
    ProductActive, ProductId, Reason, ShopId, Staff, StaffActive, StockMovementActive, TillId, TillKeeperActive,
};
use nizhal::prelude::*;

const TILLS: [(&str, &str); 2] = [("till-1", "meena"), ("till-2", "ravi")];
const SHELF: [(&str, &str, i64); 3] =
    [("tea", "Ceylon tea, 100 g", 450), ("rice", "Red rice, 1 kg", 280), ("soap", "Sandalwood soap", 190)];

/// Who keeps the first till, or the second.
pub fn keeper(till: usize) -> Claims {
    Claims { user_id: TILLS[till].1.to_owned(), owner_id: "company-1".to_owned() }
}

/// Fills an empty database; leaves any other alone.
pub async fn seed(db: &sea_orm::DatabaseTransaction) -> Result<()> {
    if Staff::find().one(db).await?.is_some() {
        return Ok(());
    }
    let shop = ShopId::from("shop-1".to_owned());
    for (till, keeper) in TILLS {
        let user_id = || Set(keeper.to_owned());
        StaffActive { shop_id: Set(shop.clone()), user_id: user_id() }.insert(db).await?;
        TillKeeperActive { till_id: Set(TillId::from(till.to_owned())), user_id: user_id() }.insert(db).await?;
    }
    for (id, name, price) in SHELF {
        let product_id = ProductId::from(id.to_owned());
        ProductActive {
            id: Set(product_id.clone()),
            shop_id: Set(shop.clone()),
            name: Set(name.to_owned()),
            price: Set(Decimal::from(price)),
            ..Default::default()
        }
        .insert(db)
        .await?;
        StockMovementActive {
            id: Set(format!("opening/{id}")),
            shop_id: Set(shop.clone()),
            product_id: Set(product_id),
            pieces: Set(20),
            reason: Set(Reason::Received),
            at: Set(DateTimeUtc::UNIX_EPOCH),
            by: Set("meena".to_owned()),
        }
        .insert(db)
        .await?;
    }
    Ok(())
}
