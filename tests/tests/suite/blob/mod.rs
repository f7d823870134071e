//! Invariants 35 and 36: rows name blobs that are stored, and nothing is told of blobs that no row names which the actor sees.

mod collect;
mod name;
mod see;
mod world;
