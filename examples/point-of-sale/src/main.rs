//! The point of sale's server.

#[nizhal::main]
async fn main() -> nizhal::Result<()> {
    point_of_sale::app().run().await
}
