//! A default that the enum does not have.
#[nizhal::text_enum]
pub enum Status {
    Open,
    Closed,
}

#[nizhal::table]
pub struct Ticket {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(default = "opened")]
    pub status: Status,
}

fn main() {}
