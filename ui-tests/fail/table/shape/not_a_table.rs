//! A list of tables with something else in it.

struct Plain;

fn main() {
    nizhal::tables![Plain];
}
