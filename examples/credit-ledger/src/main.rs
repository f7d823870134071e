//! The credit ledger's server.

#[nizhal::main]
async fn main() -> nizhal::Result<()> {
    credit_ledger::app().run().await
}
