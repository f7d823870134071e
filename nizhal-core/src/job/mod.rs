//! The trait behind `#[nizhal::job]`, and the erased entry that the runtime keeps.

mod ctx;
mod queue;

pub use ctx::{JobCtx, JobParts};
pub use queue::{Jobs, NewJob};

use crate::{__private::BoxFuture, Args, Error, Result, mutator::parse};

/// What the runtime knows of a job.
#[derive(Clone, Copy, Debug)]
pub struct JobDesc {
    /// The name in the table of jobs.
    pub name: &'static str,
    /// How often it is tried before it is left for people to look at.
    pub attempts: u16,
    /// Tables that it may write beyond the buckets that it carries.
    pub privileged: &'static [&'static str],
    /// The doc comment.
    pub doc: &'static str,
}

impl JobDesc {
    /// One of which nothing is said.
    #[doc(hidden)]
    pub const NONE: Self = Self { name: "", attempts: 1, privileged: &[], doc: "" };
}

/// A function annotated with `#[nizhal::job]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job",
    label = "not annotated",
    note = "annotate the function with #[nizhal::job]"
)]
pub trait Job: 'static {
    /// Its arguments.
    type Args: Args;
    /// Its description.
    const DESC: JobDesc;

    /// Runs it.
    fn run(ctx: &mut JobCtx, args: Self::Args) -> BoxFuture<'_, Result<()>>;
}

/// The end of a job's run: the parts of its context, and the result.
pub type JobRun = (JobParts, Result<()>);

/// A job with its types erased, as the runtime keeps it.
#[derive(Clone, Copy)]
pub struct JobEntry {
    /// Its description.
    pub desc: JobDesc,
    /// Reads the arguments and runs it.
    pub call: for<'a> fn(JobParts, &'a str) -> BoxFuture<'a, JobRun>,
}

impl JobEntry {
    /// The entry of a job.
    pub fn of<J: Job>() -> Self {
        Self { desc: J::DESC, call: |parts, args| Box::pin(call::<J>(parts, args)) }
    }
}

impl std::fmt::Debug for JobEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JobEntry").field(&self.desc).finish()
    }
}

async fn call<J: Job>(parts: JobParts, args: &str) -> JobRun {
    let args: J::Args = match parse(args) {
        Ok(args) => args,
        Err(reason) => return (parts, Err(Error::InvalidArgs(reason))),
    };
    let mut ctx = JobCtx::new(parts);
    let result = J::run(&mut ctx, args).await;
    let (parts, error) = ctx.into_parts();
    (parts, error.map_or(result, Err))
}
