//! An app whose arguments are drawn from their schema alone, and mutators of which nothing is ever seen.

use nizhal::prelude::*;
use nizhal::{MutatorEntry, TableDesc};
use nizhal_sim::App;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "tasks")]
struct Task {
    #[nizhal(primary_key)]
    id: Uuid,
    user_id: String,
    title: String,
    hours: Decimal,
    day: Date,
    at: Time,
    due: Option<DateTimeUtc>,
}

sync_rules! {
    rules for Claims;

    rule mine(user_id) {
        user_id = actor.user_id;
        Task where Task.user_id == user_id;
    }
}

#[nizhal::args]
struct AddTask {
    id: Uuid,
    title: NonEmpty,
    hours: Positive,
    day: Date,
    at: Time,
    due: Option<DateTimeUtc>,
}

#[mutator]
async fn add_task(ctx: &mut Ctx<Claims>, args: AddTask) -> Result<Applied> {
    TaskActive {
        id: Set(args.id),
        user_id: Set(ctx.actor().user_id.clone()),
        title: Set(args.title.into_inner()),
        hours: Set(args.hours.into_inner()),
        day: Set(args.day),
        at: Set(args.at),
        due: Set(args.due),
    }
    .insert(ctx.db())
    .await?;
    Ok(Applied::done())
}

#[nizhal::args]
struct Rename {
    task_id: Uuid,
    title: NonEmpty,
}

#[mutator]
async fn rename_task(ctx: &mut Ctx<Claims>, args: Rename) -> Result<Applied> {
    let found = Task::find_by_id(args.task_id).one(ctx.db()).await?;
    let mut task = found.ok_or_else(|| reject!("there is no such task"))?.into_active_model();
    task.title = Set(args.title.into_inner());
    task.update(ctx.db()).await?;
    Ok(Applied::done())
}

/// Never applies.
#[mutator]
async fn refuse(_ctx: &mut Ctx<Claims>, _args: Rename) -> Result<Applied> {
    Err(reject!("whatever it is"))
}

struct Tasks {
    mutators: fn() -> Vec<MutatorEntry>,
    never: &'static [&'static str],
}

impl App for Tasks {
    type Claims = Claims;

    fn tables(&self) -> Vec<&'static TableDesc> {
        tables![Task]
    }
    fn mutators(&self) -> Vec<MutatorEntry> {
        (self.mutators)()
    }
    fn rules(&self) -> nizhal::Rules<Claims> {
        rules()
    }
    fn users(&self) -> Vec<Claims> {
        ["ana", "ben"].map(|user| Claims { user_id: user.to_owned(), owner_id: "o".to_owned() }).into()
    }
    fn seed(&self) -> Vec<String> {
        Vec::new()
    }
    fn never_applied(&self) -> Vec<&'static str> {
        self.never.to_vec()
    }
}

#[test]
fn arguments_are_drawn_from_their_schemas() {
    let report = nizhal_sim::check_range(Tasks { mutators: || mutators![add_task, rename_task], never: &[] }, 0..75);
    for (name, calls) in &report.calls {
        assert!(calls.applied * 5 > calls.tried, "{name}: {calls:?}");
    }
    assert_eq!(report.calls.len(), 2);
}

#[test]
#[should_panic(expected = "`refuse` was never applied")]
fn a_check_that_sees_nothing_of_a_mutator_fails() {
    nizhal_sim::check_range(Tasks { mutators: || mutators![add_task, refuse], never: &[] }, 0..12);
}

#[test]
fn what_is_known_never_to_apply_may_be_named() {
    nizhal_sim::check_range(Tasks { mutators: || mutators![add_task, refuse], never: &["refuse"] }, 0..12);
}
