//! The credit ledger's server, as the tests of this crate start it.

#[nizhal::main]
async fn main() -> nizhal::Result<()> {
    credit_ledger::app().run().await
}
