//! Who is let in: requests in flight, bytes in memory and streams, each with a share for every actor.
//!
//! A rate limits how often an actor begins; this limits how much it holds. Whoever is over its share is told 429, and 503 when all
//! together are, both at once and with `retry-after`.

mod admitted;
mod answer;
mod stream;
mod turn;

pub(super) use admitted::Admitted;
pub(crate) use admitted::{Admission, MaxTurns};
pub(super) use answer::sent_in_pieces;
pub(super) use stream::PacedLines;
