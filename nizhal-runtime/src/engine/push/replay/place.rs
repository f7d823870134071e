//! Where mutations take effect.

use crate::store::{Place, Space};
use nizhal_core::{DateTimeUtc, Hlc, NodeId};

/// How long mutations may come late, in days: what was done before is settled.
const MAX_LATE_DAYS: i64 = 14;

/// A mutation's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) position: Place,
    /// Whether that is later than it was made.
    pub(super) late: bool,
}

/// Nothing takes its place before this one any more.
pub(in crate::engine) fn horizon(now: DateTimeUtc) -> Place {
    let millis = now.timestamp_millis().saturating_sub(MAX_LATE_DAYS * 24 * 60 * 60 * 1_000);
    Place { stamp: Hlc { millis, counter: 0, node: NodeId(0) }, id: String::new() }
}

/// The place of a mutation that was made by this stamp, where nothing but the horizon moves it.
pub(super) fn meant(stamp: Hlc, id: &str, horizon: &Place) -> Place {
    behind(Place { stamp, id: id.to_owned() }, Some(horizon))
}

/// The places of mutations of one client, in the order in which it made them, or of none; each with its stamp and its id.
pub(super) fn placements(made: &[(Hlc, &str)], has_client: bool, space: &Space, horizon: &Place) -> Vec<Placement> {
    let mut last = space.last.clone();
    let placed = made.iter().map(|&(stamp, id)| {
        let own = behind(Place { stamp, id: id.to_owned() }, last.as_ref());
        let position = behind(behind(own.clone(), space.settled.as_ref()), Some(horizon));
        if has_client {
            last = Some(position.clone());
        }
        let late = position != own || position.stamp.millis > stamp.millis;
        Placement { position, late }
    });
    placed.collect()
}

/// Moves those that would come before the last mutation of their space behind it.
pub(super) fn restamp(placements: &mut [Placement], head: Option<&Place>, has_client: bool) {
    let mut last = head.cloned();
    for placement in placements {
        let position = behind(placement.position.clone(), last.as_ref());
        placement.late |= position != placement.position;
        placement.position = position;
        if has_client {
            last = Some(placement.position.clone());
        }
    }
}

/// The place, or the next one behind the other.
fn behind(position: Place, other: Option<&Place>) -> Place {
    match other {
        Some(other) if position <= *other => Place { stamp: Place::behind(other.stamp), ..position },
        _ => position,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Hlc {
        Hlc { millis, counter: 0, node: NodeId(7) }
    }

    fn place(millis: i64, id: &str) -> Place {
        Place { stamp: at(millis), id: id.to_owned() }
    }

    #[test]
    fn inv37_a_clients_own_order_is_kept_and_is_not_late() {
        let space = Space { head: Some(place(9, "x")), settled: None, last: Some(place(4, "w")) };
        let placed = placements(&[(at(4), "a"), (at(4), "b"), (at(8), "c")], true, &space, &place(0, ""));
        let order: Vec<_> =
            placed.iter().map(|one| (one.position.stamp.counter, &*one.position.id, one.late)).collect();
        assert_eq!(order, [(1, "a", false), (2, "b", false), (0, "c", false)]);
        assert!(placed.is_sorted_by_key(|one| &one.position));
    }

    #[test]
    fn inv38_what_is_settled_makes_late() {
        let space = Space { head: Some(place(9, "x")), settled: Some(place(6, "s")), last: None };
        let mut placed = placements(&[(at(4), "a"), (at(8), "b")], true, &space, &place(0, ""));
        assert_eq!(placed.iter().map(|one| one.late).collect::<Vec<_>>(), [true, false]);
        assert!(placed[0].position > place(6, "s"));
        restamp(&mut placed, space.head.as_ref(), true);
        assert!(placed.iter().all(|one| one.late && one.position > place(9, "x")));
        assert!(placed.is_sorted_by_key(|one| &one.position));
    }

    #[test]
    fn inv38_what_came_in_order_is_not_restamped() {
        let space = Space { head: Some(place(3, "x")), settled: None, last: None };
        let mut placed = placements(&[(at(4), "a")], false, &space, &place(0, ""));
        let before = placed.clone();
        restamp(&mut placed, space.head.as_ref(), false);
        assert_eq!(placed, before);
    }
}
