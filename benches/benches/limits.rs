//! Nizhal beside the limit of its database, in one run: `cargo bench -p nizhal-benches --bench limits`.

#[path = "../limits/mod.rs"]
mod limits;

fn main() {
    limits::ran();
}
