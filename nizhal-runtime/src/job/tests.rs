use super::{JobEnd, Workers};
use crate::{store::StoreError, testing};
use nizhal_core::{DateTimeUtc, Error, JobDesc, JobEntry, JobParts, NewJob, Uuid};
use sea_orm::ConnectionTrait;

const NAME: &str = "next";

fn entry(
    call: for<'a> fn(JobParts, &'a str) -> nizhal_core::__private::BoxFuture<'a, nizhal_core::JobRun>,
) -> JobEntry {
    JobEntry { desc: JobDesc { name: NAME, attempts: 2, ..JobDesc::NONE }, call }
}

/// Runs the next job by a worker that is alone.
async fn run_next(server: &crate::Server, due: DateTimeUtc) -> Result<Option<JobEnd>, StoreError> {
    super::run_next(server.engine(), &Workers::new(1), due).await
}

/// A job of an actor, due then.
fn wanted(id: Uuid, name: &'static str, run_at: DateTimeUtc, unique_key: Option<&str>, actor: &str) -> NewJob {
    NewJob {
        id,
        name,
        args: "{}".to_owned(),
        run_at,
        attempts: 2,
        unique_key: unique_key.map(str::to_owned),
        actor: actor.to_owned(),
        buckets: Vec::new(),
    }
}

fn new(parts: &mut JobParts, name: &'static str) -> NewJob {
    wanted((parts.ids)(), name, parts.now, Some("k"), "")
}

/// Jobs of an actor, due now, wanted in one transaction; their ids.
async fn enqueue_for(server: &crate::Server, actor: &str, unique_key: Option<&str>, count: usize) -> Vec<String> {
    let engine = server.engine();
    let jobs: Vec<NewJob> = (0..count).map(|_| wanted(Uuid::now_v7(), NAME, server.now(), unique_key, actor)).collect();
    let tx = engine.store.begin().await.unwrap();
    engine.enqueue(&tx, &jobs, &crate::engine::job::Bounds::default()).await.unwrap();
    engine.store.on(&tx).finish().await.unwrap();
    engine.store.commit(tx).await.unwrap();
    jobs.iter().map(|job| job.id.to_string()).collect()
}

async fn enqueue(server: &crate::Server, count: usize) -> crate::store::JobCounts {
    enqueue_for(server, "", Some("k"), count).await;
    server.engine().store.job_counts().await.unwrap()
}

async fn server(entry: JobEntry) -> crate::Server {
    testing::server(testing::app(&testing::clock()).jobs(vec![entry]).job_workers(0)).await
}

#[actix_web::test]
async fn one_of_a_key_waits_and_a_job_may_enqueue_its_successor() {
    let server = server(entry(|mut parts, _| {
        Box::pin(async move {
            for _ in 0..2 {
                let next = new(&mut parts, NAME);
                parts.jobs.push(next);
            }
            (parts, Ok(()))
        })
    }))
    .await;
    assert_eq!(enqueue(&server, 3).await.pending, 1);
    assert_eq!(run_next(&server, server.now()).await.unwrap(), Some(JobEnd::Done));
    let counts = server.engine().store.job_counts().await.unwrap();
    assert_eq!((counts.pending, counts.running, counts.dead), (1, 0, 0));
}

#[actix_web::test]
async fn what_a_failed_run_wrote_is_gone() {
    let server = server(entry(|parts, _| {
        Box::pin(async move {
            parts.tx.execute_unprepared("insert into notes (id, shop_id) values ('n', 's')").await.unwrap();
            if parts.attempt == 1 {
                panic!("a job's own fault");
            }
            (parts, Err(Error::rejected("no such number")))
        })
    }))
    .await;
    enqueue(&server, 1).await;
    assert_eq!(run_next(&server, server.now()).await.unwrap(), Some(JobEnd::Later));
    assert_eq!(run_next(&server, server.now()).await.unwrap(), None, "it waits");
    let later = server.now() + chrono::TimeDelta::minutes(1);
    assert_eq!(run_next(&server, later).await.unwrap(), Some(JobEnd::Dead));
    let db = server.engine().store.connection();
    let count = |sql: &'static str| async move {
        let rows = db.query_all_raw(sea_orm::Statement::from_string(db.get_database_backend(), sql)).await;
        rows.unwrap().len()
    };
    assert_eq!(count("select 1 from notes").await, 0);
    assert_eq!(count("select 1 from _nizhal_touched").await, 0);
    assert_eq!(count("select 1 from _nizhal_jobs where last_error = 'no such number'").await, 1);
}

#[actix_web::test]
async fn a_job_that_nobody_would_run_is_refused() {
    let server = server(entry(|mut parts, _| {
        Box::pin(async move {
            let next = new(&mut parts, "unheard of");
            parts.jobs.push(next);
            (parts, Ok(()))
        })
    }))
    .await;
    enqueue(&server, 1).await;
    assert_eq!(run_next(&server, server.now()).await.unwrap(), Some(JobEnd::Later));
    assert_eq!(server.engine().store.job_counts().await.unwrap().pending, 1);
}

#[actix_web::test]
async fn inv31_the_jobs_of_actors_take_turns() {
    let server = server(entry(|parts, _| Box::pin(async move { (parts, Ok(())) }))).await;
    let flood = enqueue_for(&server, "ana", None, 200).await;
    let later = enqueue_for(&server, "ben", None, 3).await;
    let left = async || {
        let db = server.engine().store.connection();
        let sql = "select id from _nizhal_jobs";
        let rows = db.query_all_raw(sea_orm::Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
        rows.iter().map(|row| row.try_get::<String>("", "id").unwrap()).collect::<std::collections::BTreeSet<_>>()
    };
    for _ in 0..6 {
        assert_eq!(run_next(&server, server.now()).await.unwrap(), Some(JobEnd::Done));
    }
    let left = left().await;
    assert!(later.iter().all(|id| !left.contains(id)), "three of each ran");
    assert_eq!(flood.iter().filter(|id| !left.contains(*id)).count(), 3);
    assert!(flood[..3].iter().all(|id| !left.contains(id)), "each in the order it was wanted");
}

#[actix_web::test]
async fn inv31_turns_are_taken_however_fast_jobs_come_and_however_slowly_they_run() {
    let clock = testing::clock();
    let job = entry(|parts, _| Box::pin(async move { (parts, Ok(())) }));
    let server = testing::server(testing::app(&clock).jobs(vec![job]).job_workers(0)).await;
    let due = server.now() + chrono::TimeDelta::minutes(10);
    let enqueue_then = async |actor: &str, run_at: DateTimeUtc| {
        let engine = server.engine();
        let job = wanted(Uuid::now_v7(), NAME, run_at, None, actor);
        let tx = engine.store.begin().await.unwrap();
        engine.enqueue(&tx, &[job], &crate::engine::job::Bounds::default()).await.unwrap();
        engine.store.on(&tx).finish().await.unwrap();
        engine.store.commit(tx).await.unwrap();
    };
    let count = async |actor: &str| {
        let db = server.engine().store.connection();
        let sql = format!("select 1 from _nizhal_jobs where actor = '{actor}'");
        db.query_all_raw(sea_orm::Statement::from_string(db.get_database_backend(), sql)).await.unwrap().len()
    };
    // Each in a push of its own, a few milliseconds after the one before; ben's come when the first of them should be long done.
    for at in 0..50 {
        enqueue_then("ana", server.now() + chrono::TimeDelta::milliseconds(5 * at)).await;
    }
    for _ in 0..2 {
        enqueue_then("ben", server.now() + chrono::TimeDelta::minutes(9)).await;
    }
    for _ in 0..4 {
        assert_eq!(run_next(&server, due).await.unwrap(), Some(JobEnd::Done));
    }
    assert_eq!((count("ana").await, count("ben").await), (48, 0));
}

#[actix_web::test]
async fn inv31_one_actors_jobs_leave_a_worker_to_others() {
    let job = entry(|parts, _| Box::pin(async move { (parts, Ok(())) }));
    let server = testing::server(testing::app(&testing::clock()).jobs(vec![job]).job_workers(0)).await;
    enqueue_for(&server, "ana", None, 3).await;
    let workers = Workers::new(2);
    let next = async || super::run_next(server.engine(), &workers, server.now()).await.unwrap();
    let running = workers.assign("ana");
    assert_eq!(next().await, None, "the other worker is for others");
    enqueue_for(&server, "ben", None, 1).await;
    assert_eq!(next().await, Some(JobEnd::Done));
    drop(running);
    for _ in 0..3 {
        assert_eq!(next().await, Some(JobEnd::Done));
    }
    assert_eq!(next().await, None);
    // Whoever has a worker comes after those who have none.
    let workers = Workers::new(3);
    let next = async || super::run_next(server.engine(), &workers, server.now()).await.unwrap();
    let _running = workers.assign("ana");
    enqueue_for(&server, "ana", None, 2).await;
    enqueue_for(&server, "ben", None, 2).await;
    for _ in 0..2 {
        assert_eq!(next().await, Some(JobEnd::Done));
    }
    let db = server.engine().store.connection();
    let sql = "select 1 from _nizhal_jobs where actor = 'ben'";
    let left = db.query_all_raw(sea_orm::Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    assert_eq!(left.len(), 0);
}
