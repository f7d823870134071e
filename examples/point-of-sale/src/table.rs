//! What is sold, what was sold, and where the stock went.

use nizhal::prelude::*;

#[nizhal::id]
pub struct ShopId(String);
#[nizhal::id]
pub struct TillId(String);
#[nizhal::id]
pub struct ProductId(String);
#[nizhal::id]
pub struct SaleId(String);

/// Who works in which shop, and so sees its products and its stock.
#[nizhal::table(name = "staff", server_only)]
pub struct Staff {
    #[nizhal(primary_key)]
    pub shop_id: ShopId,
    #[nizhal(primary_key)]
    pub user_id: String,
}

/// Who may open which till, and so sees its sales. A manager is a keeper of all of them.
#[nizhal::table(name = "till_keepers", server_only)]
pub struct TillKeeper {
    #[nizhal(primary_key)]
    pub till_id: TillId,
    #[nizhal(primary_key)]
    pub user_id: String,
}

/// Something on the shelf. Two devices may change its name and its price while offline: both changes stay.
#[nizhal::table(name = "products", merge = "field")]
pub struct Product {
    #[nizhal(primary_key)]
    pub id: ProductId,
    pub shop_id: ShopId,
    pub name: String,
    pub price: Decimal,
    pub barcode: Option<String>,
}

/// Why stock came or went.
#[nizhal::text_enum]
pub enum Reason {
    Received,
    Sold,
    Returned,
    Counted,
}

/// One fact about stock: pieces that came (above zero) or went (below zero).
///
/// Movements are only ever added. What is on the shelf is the sum of a product's movements and stored nowhere, so two tills
/// that sell while offline cannot disagree about it.
#[nizhal::table(name = "stock_movements")]
pub struct StockMovement {
    #[nizhal(primary_key)]
    pub id: String,
    pub shop_id: ShopId,
    pub product_id: ProductId,
    pub pieces: i32,
    pub reason: Reason,
    pub at: DateTimeUtc,
    pub by: String,
}

/// What became of a sale.
#[nizhal::text_enum]
pub enum SaleState {
    Paid,
    Refunded,
}

/// A sale: what one customer paid for, all or nothing.
#[nizhal::table(name = "sales")]
pub struct Sale {
    #[nizhal(primary_key)]
    pub id: SaleId,
    pub shop_id: ShopId,
    pub till_id: TillId,
    pub total: Decimal,
    /// The number on the invoice: from 1 and without a gap in each shop, so only the server can give it. Until then the till
    /// prints the sale's id.
    pub invoice: Option<i64>,
    #[nizhal(default = "paid")]
    pub state: SaleState,
    pub at: DateTimeUtc,
    pub by: String,
}

/// One line of a sale, at the price of that moment.
#[nizhal::table(name = "sale_lines")]
pub struct SaleLine {
    #[nizhal(primary_key)]
    pub sale_id: SaleId,
    #[nizhal(primary_key)]
    pub line: i32,
    pub shop_id: ShopId,
    pub till_id: TillId,
    pub product_id: ProductId,
    pub pieces: i32,
    pub price: Decimal,
}
