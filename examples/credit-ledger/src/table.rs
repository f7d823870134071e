//! The ledger's tables.

use nizhal::prelude::*;

/// A shop; its staff are in [`ShopMember`].
#[nizhal::table(name = "shops", server_only)]
pub struct Shop {
    #[nizhal(primary_key)]
    pub id: String,
    pub name: String,
    pub owner_id: String,
    /// The ISO 4217 code of the currency that all its amounts are in.
    #[nizhal(default = "LKR")]
    pub currency: String,
    #[nizhal(default = now)]
    pub created_at: DateTimeUtc,
}

/// Who works in which shop.
#[nizhal::table(name = "shop_members", server_only)]
pub struct ShopMember {
    #[nizhal(primary_key)]
    pub shop_id: String,
    #[nizhal(primary_key)]
    pub user_id: String,
    pub role: String,
}

/// Someone who buys on credit.
#[nizhal::table(name = "customers", merge = "field")]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: String,
    pub shop_id: String,
    pub name: String,
    pub phone: Option<String>,
    pub note: Option<String>,
    /// The id that the device gave.
    #[nizhal(unique)]
    pub client_id: Option<String>,
    #[nizhal(default = now)]
    pub created_at: DateTimeUtc,
}

/// One fact about money: credit given (above zero) or a payment taken (below zero).
///
/// Entries are only ever added. A balance is the sum of a customer's entries and stored nowhere, so two devices that
/// write offline cannot disagree about it.
#[nizhal::table(name = "ledger_entries")]
pub struct LedgerEntry {
    #[nizhal(primary_key)]
    pub id: String,
    pub shop_id: String,
    pub customer_id: String,
    pub amount: Decimal,
    pub reason: Option<String>,
    /// The number on the paper receipt.
    #[nizhal(rename = "ref")]
    pub reference: Option<String>,
    /// A photo of the paper receipt.
    pub photo: Option<BlobRef>,
    /// When the money or the goods changed hands.
    pub at: DateTimeUtc,
    /// The member of staff who wrote it down.
    pub created_by: String,
    /// The id that the device gave.
    #[nizhal(unique)]
    pub client_id: Option<String>,
    #[nizhal(default = now)]
    pub created_at: DateTimeUtc,
}

/// A message to send to a customer when a credit falls due.
#[nizhal::table(name = "reminders")]
pub struct Reminder {
    #[nizhal(primary_key)]
    pub id: String,
    pub shop_id: String,
    pub customer_id: String,
    /// The credit that it reminds of.
    pub entry_id: String,
    pub scheduled_at: DateTimeUtc,
    #[nizhal(default = "sms")]
    pub channel: String,
    /// `pending` or `sent`.
    #[nizhal(default = "pending")]
    pub status: String,
    pub sent_at: Option<DateTimeUtc>,
    #[nizhal(default = now)]
    pub created_at: DateTimeUtc,
}
