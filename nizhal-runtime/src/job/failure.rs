//! What a failed run means: whether and when to try again, and what to tell people.

use crate::store::{FailedJob, Fault, LeasedJob, fault, is_cancelled};
use chrono::TimeDelta;
use nizhal_core::{DateTimeUtc, Error, Uuid};

/// Why a run did not succeed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may do better later.
    Again(String),
    /// The database was in the way: as before, and not counted.
    Transient,
    /// It never will.
    Final(String),
}

/// The first pause, in seconds.
const FIRST_S: i64 = 10;
/// The longest pause, in seconds.
const LONGEST_S: i64 = 3600;

impl Failure {
    /// The text is for the job's row: never SQL, nor what an inner cause says.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Rejected(reason) | Error::TransactionControl(reason) => Self::Final(reason.clone()),
            Error::Forbidden => Self::Final("it wrote, or named, a bucket that it does not carry".to_owned()),
            Error::InvalidArgs(reason) => Self::Again(format!("the arguments do not fit: {reason}")),
            Error::Db(cause) if is_cancelled(cause) => {
                Self::Again("a statement took longer than the database's statement_timeout".to_owned())
            }
            Error::Db(cause) => match fault(cause) {
                Fault::Retry | Fault::Unavailable | Fault::StalePlan | Fault::Pooler => Self::Transient,
                Fault::Final => Self::Again("the data breaks a constraint of the database".to_owned()),
                Fault::Aborted => Self::Again("it went on after a statement failed".to_owned()),
                Fault::Bug => Self::Again("the database refused a statement".to_owned()),
            },
            _ => Self::Again("internal fault".to_owned()),
        }
    }

    /// What becomes of the job; `chance` brings the jitter.
    pub(super) fn verdict(&self, job: &LeasedJob, now: DateTimeUtc, chance: Uuid) -> FailedJob<'_> {
        let run_at = now + pause(job.attempt, chance);
        match self {
            Self::Again(error) => FailedJob { dead: job.attempt >= job.most, attempts: job.attempt, run_at, error },
            Self::Transient => {
                let error = "the database was busy or away";
                FailedJob { dead: false, attempts: job.attempt - 1, run_at, error }
            }
            Self::Final(error) => FailedJob { dead: true, attempts: job.attempt, run_at, error },
        }
    }
}

/// Doubles with each try, up to an hour; then between half of it and all of it, so that jobs that failed together part.
pub(super) fn pause(attempt: i64, chance: Uuid) -> TimeDelta {
    let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(20);
    let most = FIRST_S.saturating_mul(1 << doublings).min(LONGEST_S) * 1000;
    // The low bits of a UUID v7 are random.
    let part = i64::try_from(chance.as_u128() & 0xffff).unwrap_or(0);
    TimeDelta::milliseconds(most / 2 + most / 2 * part / 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::DbErr;

    fn job(attempt: i64) -> LeasedJob {
        LeasedJob {
            id: String::new(),
            name: String::new(),
            args: String::new(),
            attempt,
            most: 8,
            dead: false,
            actor: String::new(),
            buckets: None,
        }
    }

    #[test]
    fn pauses_double_up_to_an_hour_and_differ_by_chance() {
        let (least, most) = (Uuid::nil(), Uuid::max());
        for (attempt, seconds) in [(1, 10), (2, 20), (5, 160), (10, 3600), (1000, 3600)] {
            assert_eq!(pause(attempt, most), TimeDelta::seconds(seconds), "{attempt}");
            assert_eq!(pause(attempt, least), TimeDelta::seconds(seconds) / 2, "{attempt}");
        }
    }

    #[test]
    fn inv17_transient_faults_are_not_counted() {
        let away = DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout);
        let failure = Failure::of(&Error::Db(away));
        assert_eq!(failure, Failure::Transient);
        let verdict = failure.verdict(&job(8), DateTimeUtc::UNIX_EPOCH, Uuid::nil());
        assert_eq!((verdict.dead, verdict.attempts), (false, 7));
    }

    #[test]
    fn the_last_try_and_a_refusal_are_final() {
        let now = DateTimeUtc::UNIX_EPOCH;
        let dead = |failure: &Failure, attempt| failure.verdict(&job(attempt), now, Uuid::nil()).dead;
        let failure = Failure::of(&Error::internal("password=hunter2"));
        assert_eq!(failure, Failure::Again("internal fault".to_owned()));
        assert_eq!([7, 8].map(|attempt| dead(&failure, attempt)), [false, true]);
        assert!(dead(&Failure::of(&Error::rejected("no such number")), 1));
    }
}
