//! The real environment: the system's clock and fresh UUIDs.

use crate::engine::Environment;
use chrono::{SubsecRound, Utc};
use nizhal_core::{DateTimeUtc, Uuid};

/// The system's clock, cut to microseconds as Postgres keeps them, and UUID v7.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn now(&self) -> DateTimeUtc {
        Utc::now().trunc_subsecs(6)
    }

    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Timelike;

    #[test]
    fn moments_have_whole_microseconds() {
        assert_eq!(SystemEnvironment.now().nanosecond() % 1000, 0);
    }

    #[test]
    fn ids_are_version_seven_and_ascend() {
        let ids = [SystemEnvironment.new_id(), SystemEnvironment.new_id()];
        assert_eq!(ids[0].get_version_num(), 7);
        assert!(ids[0] < ids[1]);
    }
}
