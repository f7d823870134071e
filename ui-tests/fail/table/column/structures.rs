//! Rust's structures, which JSON holds.
use std::collections::{BTreeSet, HashMap};

#[derive(Clone, Debug, PartialEq)]
pub struct Line;

#[nizhal::table]
pub struct Order {
    #[nizhal(primary_key)]
    pub id: String,
    pub prices: HashMap<String, i64>,
    pub seen: Option<BTreeSet<String>>,
    pub lines: Vec<Line>,
    pub place: (f64, f64),
    pub digits: [i64; 3],
    pub boxed: Box<str>,
}

fn main() {}
