//! Rules with priorities, and rules on demand: which buckets a device gets when, on both databases.

mod asked;
mod first;

use crate::fixture::{self, push_of};
use nizhal::Principal;
use nizhal::prelude::*;
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_runtime::Lines;
use nizhal_runtime::engine::{Engine, Line};
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Address, Connection, Database, Device, Kind};
use serde_json::{Value, json};
use std::time::Duration;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "settings")]
struct Setting {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
}

#[nizhal::table(name = "members", server_only)]
struct Member {
    #[nizhal(primary_key)]
    id: String,
    user: String,
    project: String,
}

#[nizhal::table(name = "projects")]
struct Project {
    #[nizhal(primary_key)]
    id: String,
    project: String,
}

#[nizhal::table(name = "steps")]
struct Step {
    #[nizhal(primary_key)]
    id: String,
    project: String,
}

#[nizhal::table(name = "products")]
struct Product {
    #[nizhal(primary_key)]
    id: String,
}

sync_rules! {
    demanded for Claims;

    #[priority = 200]
    public rule catalog() { Product; }

    rule projects(project) {
        project in Member.project where Member.user == actor.user_id;
        Project where Project.project == project;
    }

    #[priority = 1]
    rule mine(owner) {
        owner = actor.user_id;
        Setting where Setting.owner == owner;
    }

    #[on_demand(ttl = "1h")]
    rule steps(project) {
        project in Member.project where Member.user == actor.user_id;
        Step where Step.project == project;
    }
}

/// A row to write.
#[nizhal::args]
struct Put {
    /// Its id.
    id: String,
    /// Its project.
    project: String,
}

#[mutator]
async fn add_step(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    StepActive { id: Set(args.id), project: Set(args.project) }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

/// An engine of these rules, and a connection to its database.
struct World {
    engine: Engine,
    db: Connection,
    _database: Database,
}

impl World {
    /// Ann is a member of `p1` and `p2`, not of `p3`; each project has three steps.
    async fn new(kind: Kind) -> Self {
        let database = Database::new(kind).await;
        let tables = tables![Setting, Member, Project, Step, Product];
        let schema = Schema::new(tables, demanded().into_inner(), mutators![add_step]).expect("a sound schema");
        let engine = fixture::engine(&database, schema).await;
        let mut db = database.connect().await;
        db.execute("insert into members (id, \"user\", project) values ('m1', 'ann', 'p1'), ('m2', 'ann', 'p2')").await;
        db.execute(
            "insert into settings (id, owner) values ('a1', 'ann'), ('a2', 'ann'), ('a3', 'ann'), ('b1', 'ben')",
        )
        .await;
        db.execute("insert into products (id) values ('x1'), ('x2'), ('x3')").await;
        for project in ["p1", "p2", "p3"] {
            db.execute(&format!("insert into projects (id, project) values ('{project}', '{project}')")).await;
            let steps = [1, 2, 3].map(|at| format!("('{project}s{at}', '{project}')")).join(", ");
            db.execute(&format!("insert into steps (id, project) values {steps}")).await;
        }
        Self { engine, db, _database: database }
    }

    /// One page of at most two rows; `buckets` is what the device asks for, where it can ask.
    async fn page(&self, device: &Device, wire: Wire, buckets: Option<&[&str]>) -> Value {
        let mut request = json!({"cursor": device.cursor, "deviceId": device.id, "limit": 2});
        if let Some(buckets) = buckets {
            request["buckets"] = json!(buckets);
        }
        let request: PullRequest = serde_json::from_value(request).expect("a request");
        let page = self.engine.pull(&ann(), wire, request).await.expect("an answer");
        serde_json::from_slice(&page.body).expect("JSON")
    }

    /// Pulls until nothing more waits; the answers.
    async fn pull(&self, device: &mut Device, buckets: Option<&[&str]>) -> Vec<Value> {
        let mut bodies = Vec::new();
        loop {
            let body = self.page(device, Wire::Two, buckets).await;
            let has_more = device.apply(&body).has_more;
            bodies.push(body);
            if !has_more {
                return bodies;
            }
            assert!(bodies.len() < 100, "the pull does not end");
        }
    }

    /// A whole pull in lines, as one page's body.
    async fn stream(&self, device: &Device, buckets: &[&str]) -> Value {
        let (to, mut from) = tokio::sync::mpsc::channel(1_000);
        let request = json!({"cursor": device.cursor, "deviceId": device.id, "buckets": buckets});
        let request: PullRequest = serde_json::from_value(request).expect("a pull");
        self.engine.pull_lines(&ann(), &request, &Lines::new(to, Duration::from_secs(60))).await;
        let (mut changed, mut body) = (Vec::new(), Value::Null);
        while let Some(line) = from.recv().await {
            match line.expect("no error") {
                Line::Rows(line) => changed.push(serde_json::from_slice::<Value>(&line).expect("JSON")),
                Line::Last { line, .. } => body = serde_json::from_slice(&line).expect("JSON"),
            }
        }
        body["changed"] = json!(changed);
        body
    }

    async fn push(&self, device: &mut Device, id: &str, project: &str) -> String {
        let mutation = device.mutation("addStep", &json!({"id": id, "project": project}));
        format!("{:?}", self.engine.push(&ann(), Wire::Two, push_of(&[mutation])).await)
    }
}

fn ann() -> Principal {
    Principal::new(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() }, None)
}

fn device() -> Device {
    Device::new(&Address::default(), "d", "t")
        .bucket_column("project")
        .rule("projects", "projects")
        .rule("steps", "steps")
        .wire_two()
}

/// How many rows of each table the device has: settings, projects, steps, products.
fn counts(device: &Device) -> [usize; 4] {
    ["settings", "projects", "steps", "products"].map(|table| device.ids(table).len())
}
