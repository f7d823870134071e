//! Ids that follow from the mutation, so that a device and the server make the same, and running it again does too.

use crate::{Random, Uuid};

/// The ids of one mutation: UUIDs of version 7 whose time is that of the mutation's stamp.
///
/// Whoever sends the mutation can know them: they are names, not secrets. Those of different actors differ, also where their
/// mutations have the same id.
///
/// ```
/// # use nizhal_core::MutationIds;
/// let ids = || MutationIds::of("ana", "m-1", 1_764_000_000_000);
/// let (mut device, mut server) = (ids(), ids());
/// assert_eq!(device.next_id(), server.next_id());
/// assert_ne!(device.next_id(), ids().next_id());
/// assert_ne!(MutationIds::of("ben", "m-1", 1_764_000_000_000).next_id(), ids().next_id());
/// ```
#[derive(Clone, Debug)]
pub struct MutationIds {
    random: Random,
    millis: u64,
}

impl MutationIds {
    /// The ids of the mutation with this `clientMutationId`, by the actor with this key; `millis` is the time of the mutation's
    /// stamp as it was sent, or where it has none the server's.
    pub fn of(actor: &str, client_mutation_id: &str, millis: i64) -> Self {
        // The length keeps "a" and "bc" apart from "ab" and "c".
        let seed = format!("{} {actor} {client_mutation_id} ids", actor.len());
        Self { random: Random::of(&seed), millis: u64::try_from(millis).unwrap_or(0) }
    }

    /// The next one.
    pub fn next_id(&mut self) -> Uuid {
        let (high, low) = (self.random.next_u64(), self.random.next_u64());
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&high.to_be_bytes()[..2]);
        bytes[2..].copy_from_slice(&low.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(self.millis, &bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices in the field make these too, so they never change.
    #[test]
    fn the_ids_of_a_mutation_are_golden() {
        let mut ids = MutationIds::of(r#"["o","ana"]"#, "m-1", 1_764_000_000_000);
        let made = [ids.next_id(), ids.next_id()].map(|id| id.to_string());
        assert_eq!(made, ["019ab697-e800-7348-a823-756300d269e6", "019ab697-e800-7ee4-85cc-90fc42c77557"]);
        assert_eq!(MutationIds::of("a", "bc", 0).next_id().get_version_num(), 7);
        assert_ne!(MutationIds::of("a", "b c", 0).next_id(), MutationIds::of("a b", "c", 0).next_id());
        assert_eq!(MutationIds::of("a", "b", -5).next_id(), MutationIds::of("a", "b", 0).next_id());
    }
}
