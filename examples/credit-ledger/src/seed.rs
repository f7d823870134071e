//! What a development start finds in an empty database: one shop, the two who work in it, and some customers.

use crate::claims::Claims;
use crate::table::{CustomerActive, Shop, ShopActive, ShopMemberActive};
use nizhal::prelude::*;

const SHOP: &str = "shop-1";

/// The shop's owner.
pub fn kamala() -> Claims {
    member("kamala")
}

/// Who helps her.
pub fn nimal() -> Claims {
    member("nimal")
}

fn member(user_id: &str) -> Claims {
    Claims { user_id: user_id.to_owned(), owner_id: "owner-1".to_owned(), shop_id: Some(SHOP.to_owned()) }
}

/// Fills an empty database; leaves any other alone. The ids are fixed, so that the README's lines work as printed.
pub async fn seed(db: &sea_orm::DatabaseTransaction) -> Result<()> {
    if Shop::find().one(db).await?.is_some() {
        return Ok(());
    }
    let owner = kamala();
    ShopActive {
        id: Set(SHOP.to_owned()),
        name: Set("Kamala Stores, Colombo".to_owned()),
        owner_id: Set(owner.owner_id.clone()),
        ..Default::default()
    }
    .insert(db)
    .await?;
    for (member, role) in [(owner, "owner"), (nimal(), "staff")] {
        ShopMemberActive { shop_id: Set(SHOP.to_owned()), user_id: Set(member.user_id), role: Set(role.to_owned()) }
            .insert(db)
            .await?;
    }
    for (id, name, phone) in [
        ("customer-1", "Sunil Perera", Some("+94 77 123 4567")),
        ("customer-2", "Fathima Nazeer", Some("+94 71 765 4321")),
        ("customer-3", "Arul Selvam", None),
    ] {
        CustomerActive {
            id: Set(id.to_owned()),
            shop_id: Set(SHOP.to_owned()),
            name: Set(name.to_owned()),
            phone: Set(phone.map(str::to_owned)),
            ..Default::default()
        }
        .insert(db)
        .await?;
    }
    Ok(())
}
