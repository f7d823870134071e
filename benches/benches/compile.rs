//! What the macros cost: `cargo check` of 50 tables, 100 mutators and 30 rules, beside the same entities, arguments and functions
//! in plain sea-orm, in one run: `cargo bench --profile dev -p nizhal-benches --bench compile`.
//!
//! Both crates are generated and their dependencies built first; then each is checked anew in turn, without incremental state.
//! What counts is the ratio of the medians.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const TABLES: usize = 50;
const MUTATORS: usize = 100;
const RULES: usize = 30;
/// How often each crate is checked; the median is printed.
const ROUNDS: usize = 5;

fn main() {
    // `cargo test --all-targets` starts benchmarks too, without the word that `cargo bench` adds.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let root = workspace.join("target/compile-bench");
    let ours = Crate::write(&root, workspace, "ours", &ours(), &nizhal_dependency(workspace));
    let plain = Crate::write(&root, workspace, "plain", &plain(), &plain_dependencies());
    let (mut our_times, mut plain_times) = (Vec::new(), Vec::new());
    ours.check();
    plain.check();
    for _ in 0..ROUNDS {
        our_times.push(ours.check());
        plain_times.push(plain.check());
    }
    let (ours_ms, plain_ms) = (median(our_times), median(plain_times));
    println!("| crate | lines | cargo check, ms (median of {ROUNDS}) |\n|---|---|---|");
    println!("| {TABLES} tables, {MUTATORS} mutators, {RULES} rules | {} | {ours_ms:.0} |", ours.lines);
    println!("| the same in plain sea-orm, without rules | {} | {plain_ms:.0} |", plain.lines);
    println!("\nratio {:.2}", ours_ms / plain_ms);
}

/// One generated crate.
struct Crate {
    dir: PathBuf,
    target: PathBuf,
    lines: usize,
}

impl Crate {
    fn write(root: &Path, workspace: &Path, name: &str, source: &str, dependencies: &str) -> Self {
        let dir = root.join(name);
        std::fs::create_dir_all(dir.join("src")).expect("a folder");
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n{dependencies}"
        );
        std::fs::write(dir.join("Cargo.toml"), manifest).expect("a manifest");
        // The same versions as ours.
        std::fs::copy(workspace.join("Cargo.lock"), dir.join("Cargo.lock")).expect("a lock file");
        std::fs::write(dir.join("src/lib.rs"), source).expect("a source");
        Self { dir, target: root.join("target"), lines: source.lines().count() }
    }

    /// Checks the crate alone, anew; in milliseconds.
    fn check(&self) -> f64 {
        let source = self.dir.join("src/lib.rs");
        let text = std::fs::read(&source).expect("a source");
        std::fs::write(&source, text).expect("a source");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["check", "--quiet", "--offline"]).current_dir(&self.dir);
        cargo.env("CARGO_TARGET_DIR", &self.target).env("CARGO_INCREMENTAL", "0");
        let start = Instant::now();
        let status = cargo.status().expect("cargo runs");
        assert!(status.success(), "{} does not compile", self.dir.display());
        start.elapsed().as_secs_f64() * 1000.0
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn nizhal_dependency(workspace: &Path) -> String {
    format!("nizhal = {{ path = {:?}, default-features = false }}\n", workspace.display().to_string())
}

fn plain_dependencies() -> String {
    let features =
        r#"["with-json", "with-chrono", "with-rust_decimal", "with-uuid", "postgres-array", "stream", "macros"]"#;
    format!(
        "sea-orm = {{ version = \"2\", default-features = false, features = {features} }}\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n\
         schemars = {{ version = \"1\", features = [\"chrono04\", \"uuid1\", \"rust_decimal1\"] }}\n"
    )
}

/// The columns of every table beside its key and `created_at`.
const COLUMNS: [(&str, &str); 6] = [
    ("shop_id", "String"),
    ("name", "String"),
    ("phone", "Option<String>"),
    ("points", "i64"),
    ("hidden", "bool"),
    ("note", "Option<String>"),
];

fn ours() -> String {
    let mut out = String::from("#![allow(dead_code)]\nuse nizhal::prelude::*;\n");
    out.push_str(
        "#[nizhal::claims]\npub struct Claims { pub user_id: String, pub owner_id: String, pub shop_id: String }\n",
    );
    for at in 0..TABLES {
        let _ = write!(out, "#[nizhal::table(name = \"table_{at}\")]\npub struct Table{at} {{\n");
        out.push_str("    #[nizhal(primary_key)]\n    pub id: String,\n");
        for (name, ty) in COLUMNS {
            let _ = writeln!(out, "    pub {name}: {ty},");
        }
        out.push_str("    #[nizhal(default = now)]\n    pub created_at: DateTimeUtc,\n}\n");
    }
    for at in 0..MUTATORS {
        let _ = write!(
            out,
            "#[nizhal::args]\npub struct Args{at} {{ pub client_id: String, pub name: String, pub points: i64 }}\n\
             #[mutator]\npub async fn act_{at}(ctx: &mut Ctx<Claims>, args: Args{at}) -> Result<Applied> {{\n    \
             let shop_id = ctx.actor().shop_id.clone();\n    {}\n    Ok(Applied::done())\n}}\n",
            insert(&format!("Table{}Active", at % TABLES), "ctx.db()")
        );
    }
    out.push_str("sync_rules! {\n    pub rules for Claims;\n");
    for at in 0..RULES {
        let (one, other) = (at % TABLES, (at + RULES) % TABLES);
        let _ = write!(
            out,
            "    rule rule_{at}(shop_id) {{\n        shop_id = actor.shop_id;\n        \
             Table{one} where Table{one}.shop_id == shop_id && Table{one}.hidden == false;\n"
        );
        if other != one {
            let _ = writeln!(out, "        Table{other} where Table{other}.shop_id == shop_id;");
        }
        out.push_str("    }\n");
    }
    out.push_str("}\n");
    out
}

fn plain() -> String {
    let mut out = String::from("#![allow(dead_code)]\nuse sea_orm::{ActiveModelTrait, DbErr, Set};\n");
    for at in 0..TABLES {
        let _ = write!(
            out,
            "pub mod table_{at} {{\n    use sea_orm::entity::prelude::*;\n    \
             #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]\n    #[sea_orm(table_name = \"table_{at}\")]\n    \
             pub struct Model {{\n        #[sea_orm(primary_key, auto_increment = false)]\n        pub id: String,\n"
        );
        for (name, ty) in COLUMNS {
            let _ = writeln!(out, "        pub {name}: {ty},");
        }
        out.push_str("        pub created_at: DateTimeUtc,\n    }\n");
        out.push_str("    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]\n    pub enum Relation {}\n");
        out.push_str("    impl ActiveModelBehavior for ActiveModel {}\n}\n");
    }
    for at in 0..MUTATORS {
        let _ = write!(
            out,
            "#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]\n\
             #[serde(rename_all = \"camelCase\")]\n\
             pub struct Args{at} {{ pub client_id: String, pub name: String, pub points: i64 }}\n\
             pub async fn act_{at}(db: &sea_orm::DatabaseTransaction, shop_id: String, args: Args{at}) -> Result<(), DbErr> {{\n    \
             {}\n    Ok(())\n}}\n",
            insert(&format!("table_{}::ActiveModel", at % TABLES), "db")
        );
    }
    out
}

fn insert(active: &str, db: &str) -> String {
    format!(
        "{active} {{ id: Set(args.client_id), shop_id: Set(shop_id), name: Set(args.name), points: Set(args.points), \
         hidden: Set(false), ..Default::default() }}.insert({db}).await?;"
    )
}
