//! The clinic's server.

#[nizhal::main]
async fn main() -> nizhal::Result<()> {
    clinic::app().run().await
}
