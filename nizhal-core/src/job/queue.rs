//! What `ctx.jobs()` gives: jobs are gathered while a mutator runs, and written in its transaction when it is done.
//!
//! Gathered, not written at once, so that a device can run the same mutator and leave the jobs to the server.

use super::{Job, JobDesc};
use crate::{DateTimeUtc, Error, Result, Uuid};

/// A job to be written with the transaction that wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Its id.
    pub id: Uuid,
    /// Which job.
    pub name: &'static str,
    /// Its arguments as JSON.
    pub args: String,
    /// When it is due.
    pub run_at: DateTimeUtc,
    /// How often it is tried.
    pub attempts: u16,
    /// While one of this name and key waits, no other is added.
    pub unique_key: Option<String>,
    /// The key of the actor whose mutation wants it, or wanted the job that does; the server fills it in. Actors' jobs take turns.
    pub actor: String,
    /// The names of the buckets that it may write; all of whoever wants it where none is named.
    pub buckets: Vec<String>,
}

impl NewJob {
    /// Runs it then, in place of now. A time that has passed is now.
    pub fn at(&mut self, time: DateTimeUtc) -> &mut Self {
        self.run_at = time;
        self
    }

    /// Adds it only when no job of this name and key waits already.
    pub fn unique(&mut self, key: impl Into<String>) -> &mut Self {
        self.unique_key = Some(key.into());
        self
    }

    /// Lets it write in this bucket, and in none but those that are named so. Left out, it may write in all that the actor holds when
    /// the mutation runs, also where it loses them before the job does.
    ///
    /// The bucket must be the actor's, by its parameter's value (`shop-1`) or with its rule's wire name (`myShops:shop-1`); else the
    /// mutation is refused.
    pub fn in_bucket(&mut self, bucket: impl Into<String>) -> &mut Self {
        self.buckets.push(bucket.into());
        self
    }
}

/// The jobs of one transaction.
pub struct Jobs<'a> {
    list: &'a mut Vec<NewJob>,
    ids: &'a mut (dyn FnMut() -> Uuid + Send + Sync),
    now: DateTimeUtc,
}

impl<'a> Jobs<'a> {
    pub(crate) fn new(
        list: &'a mut Vec<NewJob>,
        ids: &'a mut (dyn FnMut() -> Uuid + Send + Sync),
        now: DateTimeUtc,
    ) -> Self {
        Self { list, ids, now }
    }

    /// Wants a job done after this transaction has committed; when it does not commit, there is no job.
    ///
    /// ```ignore
    /// ctx.jobs().enqueue(sms_reminder, SmsReminder { entry_id })?.at(due).unique("due");
    /// ```
    ///
    /// # Errors
    /// When the arguments cannot be written as JSON.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads as handing the job over; nobody needs the arguments after"
    )]
    pub fn enqueue<J: Job>(self, _job: J, args: J::Args) -> Result<&'a mut NewJob> {
        let args = serde_json::to_string(&args).map_err(Error::internal)?;
        let (id, run_at) = ((self.ids)(), self.now);
        let JobDesc { name, attempts, .. } = J::DESC;
        let (actor, buckets) = (String::new(), Vec::new());
        let job = NewJob { id, name, args, run_at, attempts, unique_key: None, actor, buckets };
        let at = self.list.len();
        self.list.push(job);
        Ok(&mut self.list[at])
    }
}
