//! The tables and claims that the rules under `fail/rules` speak of.
#![allow(dead_code)]

use nizhal::prelude::*;

#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: String,
    pub shop_id: String,
    pub points: i64,
    pub hidden: bool,
    pub phone: Option<String>,
}

#[nizhal::table]
pub struct Note {
    #[nizhal(primary_key)]
    pub id: String,
    pub shop_id: String,
    pub body: CrdtText,
}

#[nizhal::table]
pub struct Photo {
    #[nizhal(primary_key)]
    pub id: String,
    pub shop_id: String,
    pub image: BlobRef,
}

#[nizhal::table(server_only)]
pub struct ShopMember {
    #[nizhal(primary_key)]
    pub shop_id: String,
    #[nizhal(primary_key)]
    pub user_id: String,
    pub role: String,
}

#[nizhal::claims]
pub struct Claims {
    pub user_id: String,
    pub owner_id: String,
    pub shop_id: Option<String>,
}
