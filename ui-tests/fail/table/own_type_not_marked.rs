//! An id and an enum without the mark that says so.
#[nizhal::id]
pub struct ShopId(String);

#[nizhal::table]
pub struct Ticket {
    #[nizhal(primary_key)]
    pub id: String,
    pub shop: ShopId,
}

fn main() {}
