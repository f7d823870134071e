//! The environment: where the engine's time and ids come from.

use chrono::{SubsecRound, Utc};
use nizhal_core::{DateTimeUtc, Uuid};

/// Where time and ids come from; the server's are real, a test's are its own.
pub trait Environment: Send + Sync + 'static {
    /// The wall clock, in UTC.
    fn now(&self) -> DateTimeUtc;
    /// A fresh UUID v7.
    fn new_id(&self) -> Uuid;
}

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
