//! A job's run, from its claim to its record: what is told as done is done once, and nothing is lost or doubled.

use super::{Claims, FAULTS, World, at_each_round_trip};
use nizhal::Error;
use nizhal::prelude::*;
use nizhal_runtime::schema::Schema;
use nizhal_runtime::store::StoreError;
use nizhal_runtime::{JobEnd, run_next_job};
use nizhal_tests::StatementFault;
use serde_json::json;

/// What a job's handler wrote: a row each time that it ran.
#[nizhal::table(name = "runs")]
struct Run {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    task: String,
    attempt: i32,
}

sync_rules! {
    rules for Claims;
    rule mine(owner) { owner = actor.user_id; Run where Run.owner == owner; }
}

#[nizhal::args]
struct Task {
    id: String,
    how: How,
}

/// How a job's first run ends.
#[nizhal::text_enum]
enum How {
    /// Well, and it wants another job.
    Done,
    /// With a refusal, which is final.
    Refused,
    /// With a fault, and its second run ends well.
    Fails,
}

/// Writes a row and ends as it is told.
#[nizhal::job(name = "work", attempts = 3)]
async fn work(ctx: &mut JobCtx, args: Task) -> Result<()> {
    note_run(ctx, &args.id).await?;
    match args.how {
        How::Done => drop(ctx.jobs().enqueue(follow, Task { id: args.id, how: How::Done })?),
        How::Refused => return Err(reject!("no such number")),
        How::Fails if ctx.attempt() == 1 => return Err(Error::internal("the job's own fault")),
        How::Fails => {}
    }
    Ok(())
}

/// What a job wants when it is done.
#[nizhal::job(name = "follow", attempts = 3)]
async fn follow(ctx: &mut JobCtx, args: Task) -> Result<()> {
    note_run(ctx, &format!("after {}", args.id)).await
}

async fn note_run(ctx: &mut JobCtx, task: &str) -> Result<()> {
    let (id, attempt) = (ctx.new_id().to_string(), i32::from(ctx.attempt()));
    let run =
        RunActive { id: Set(id), owner: Set("ann".to_owned()), task: Set(task.to_owned()), attempt: Set(attempt) };
    run.insert(ctx.db()).await?;
    Ok(())
}

#[mutator]
async fn want(ctx: &mut Ctx<Claims>, args: Task) -> Result<Applied> {
    ctx.jobs().enqueue(work, args)?;
    Ok(Applied::done())
}

/// Where a job stands: how often its handler's row is there, the job's own status, and how many jobs follow it.
type Standing = (u64, Option<String>, u64);

impl World {
    /// The next job's run, at a time when every job is due that waits.
    async fn run_job(&self) -> Result<Option<JobEnd>, StoreError> {
        run_next_job(&self.engine, DateTimeUtc::UNIX_EPOCH + TimeDelta::days(365)).await
    }

    async fn standing(&mut self, id: &str) -> Standing {
        let of = |name: &str| format!("from _nizhal_jobs where name = '{name}' and args like '%\"{id}\"%'");
        let mut jobs = self.db.rows(&format!("select status {}", of("work"))).await;
        assert!(jobs.len() <= 1, "{id} is there twice");
        let status = jobs.pop().and_then(|mut job| job.remove(0));
        let runs = self.db.count(&format!("runs where task = '{id}'")).await;
        (runs, status, self.db.text(&format!("select count(*)::text {}", of("follow"))).await.parse().expect("a count"))
    }

    /// What the run's answer says is in the database, whole. Where an answer was lost on its way, what it would have said may be
    /// there instead.
    async fn check_run(
        &mut self,
        id: &str,
        how: &str,
        ran: &Result<Option<JobEnd>, StoreError>,
        lost: bool,
        context: &str,
    ) {
        let found = self.standing(id).await;
        let (runs, status, following) = (found.0, found.1.as_deref(), found.2);
        let done = (1, None, u64::from(how == "done"));
        let is = |wanted: (u64, Option<&str>, u64)| (runs, status, following) == wanted;
        let waits = is((0, Some("pending"), 0)) || is((0, Some("running"), 0));
        let is_as_told = match ran {
            Ok(Some(JobEnd::Done)) => is(done),
            Ok(Some(JobEnd::Dead)) => is((0, Some("dead"), 0)),
            Err(_) if lost => waits || is(done) || is((0, Some("dead"), 0)),
            Ok(Some(JobEnd::Later) | None) | Err(_) => waits,
        };
        assert!(is_as_told, "{id}: {ran:?}, and there is {found:?}: {context}");
    }

    /// Has a job wanted, lets a statement of its run fail, and then runs what there is to the end; returns whether no statement failed.
    async fn run_with_fault(&mut self, how: &str, id: &str, fault: StatementFault, after: usize) -> bool {
        let context = format!("{fault:?} at round trip {after}");
        let wanted = self.push("want", &[id.to_owned()], |id| json!({"id": id, "how": how})).await;
        assert!(wanted.fault.is_none(), "{:?}", wanted.fault);
        self.proxy.arm(after, fault);
        let ran = self.run_job().await;
        let is_over = self.proxy.disarm();
        self.check_run(id, how, &ran, fault == StatementFault::EndsAfter, &context).await;
        let context = format!("after {context}");
        let mut left = 10;
        loop {
            let ran = self.run_job().await.unwrap_or_else(|error| panic!("{context}: {error}"));
            if ran.is_none() {
                break;
            }
            left -= 1;
            assert!(left > 0, "{context}: it does not end");
        }
        let (runs, status, _) = self.standing(id).await;
        let following = self.db.count(&format!("runs where task = 'after {id}'")).await;
        let told = "select coalesce(max(last_error), '') from _nizhal_jobs where args like";
        let told = self.db.text(&format!("{told} '%\"{id}\"%'")).await;
        let ended = (runs, status.as_deref(), following, told.as_str());
        match how {
            "refused" => assert_eq!(ended, (0, Some("dead"), 0, "no such number"), "{context}"),
            "done" => assert_eq!(ended, (1, None, 1, ""), "{context}"),
            _ => assert_eq!(ended, (1, None, 0, ""), "{context}"),
        }
        // What the database is the cause of counts as no try; a claim that was made and never answered does.
        let is_counted = !matches!(fault, StatementFault::Error("40001" | "53100") | StatementFault::EndsBefore);
        if how == "done" && !is_counted {
            assert_eq!(
                self.db.text(&format!("select attempt::text from runs where task = '{id}'")).await,
                "1",
                "{context}"
            );
        }
        is_over
    }
}

#[tokio::test]
async fn inv13_inv39_after_any_fault_of_a_jobs_run_it_is_done_once_or_dead_with_a_reason() {
    let schema = Schema::new(tables![Run], rules().into_inner(), mutators![want]).expect("a sound schema");
    let mut world = World::new(schema.with_jobs(jobs![work, follow]).expect("a sound schema")).await;
    for how in ["done", "refused", "fails"] {
        at_each_round_trip(&FAULTS, 6, async |fault, number, after| {
            world.run_with_fault(how, &format!("{how}-{number}-{after}"), fault, after).await
        })
        .await;
    }
}
