//! Sound rule sets: claims, memberships, public tables, lists of columns, `||` in every shape that stays in its bucket.

use super::condition::{Condition, Draw};
use super::random::Random;
use std::fmt;

pub(crate) struct Set {
    pub(crate) rules: Vec<Rule>,
}

pub(crate) struct Rule {
    pub(crate) attributes: String,
    pub(crate) public: bool,
    pub(crate) name: String,
    pub(crate) header: Vec<String>,
    pub(crate) params: Vec<Param>,
    pub(crate) tables: Vec<Table>,
    /// Lines of a spoilt set.
    pub(crate) extra: String,
}

pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) source: Source,
}

pub(crate) enum Source {
    /// What follows `=`.
    Claim(String),
    /// What follows `in`, and `where`.
    Member { column: String, condition: Option<Condition> },
}

pub(crate) struct Table {
    pub(crate) path: String,
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) condition: Option<Condition>,
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("app_rules for Claims;\n")?;
        self.rules.iter().try_for_each(|rule| rule.fmt(f))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let public = if self.public { "public " } else { "" };
        writeln!(f, "{}{public}rule {}({}) {{", self.attributes, self.name, self.header.join(", "))?;
        for Param { name, source } in &self.params {
            match source {
                Source::Claim(claim) => writeln!(f, "    {name} = {claim};")?,
                Source::Member { column, condition: None } => writeln!(f, "    {name} in {column};")?,
                Source::Member { column, condition: Some(condition) } => {
                    writeln!(f, "    {name} in {column} where {condition};")?;
                }
            }
        }
        for Table { path, columns, condition } in &self.tables {
            let columns = columns.as_ref().map_or_else(String::new, |columns| format!(" {{ {} }}", columns.join(", ")));
            match condition {
                Some(condition) => writeln!(f, "    {path}{columns} where {condition};")?,
                None => writeln!(f, "    {path}{columns};")?,
            }
        }
        writeln!(f, "{}}}", self.extra)
    }
}

const PARAMS: &[&str] = &["shop", "owner_id", "r#type", "shop_id", "region"];
const CLAIMS: &[&str] = &["actor.user_id", "actor.owner_id", "actor.shop_id?", "(actor.region)"];

pub(crate) fn set(random: &mut Random) -> Set {
    let lists: Vec<Option<Vec<String>>> = (0..6).map(|_| list(random)).collect();
    let rules = (0..1 + random.below(3)).map(|at| rule(random, at, &lists)).collect();
    Set { rules }
}

/// The columns that every rule gives of a table.
fn list(random: &mut Random) -> Option<Vec<String>> {
    if !random.one_in(4) {
        return None;
    }
    let mut columns: Vec<String> =
        ["shop", "name", "c1", "r#type", "shop_of", "shop_id_of", "owner_id_of"].map(str::to_owned).to_vec();
    random.shuffle(&mut columns);
    columns.truncate(random.below(7));
    // The key, or rustc refuses the list.
    columns.push("id".to_owned());
    Some(columns)
}

fn rule(random: &mut Random, at: usize, lists: &[Option<Vec<String>>]) -> Rule {
    let public = random.one_in(6);
    let mut names: Vec<&str> = PARAMS.to_vec();
    random.shuffle(&mut names);
    names.truncate(if public { 0 } else { 1 + random.below(3) });
    let mut params: Vec<Param> = names.iter().map(|name| param(random, name)).collect();
    random.shuffle(&mut params);
    let mut attributes = String::new();
    if random.one_in(4) {
        attributes.push_str("/// Said.\n");
    }
    if !public && random.one_in(4) {
        // More than three parameters of four values each make.
        attributes.push_str(&format!("#[max_buckets = {}]\n", 65 + random.below(500)));
    }
    if random.one_in(4) {
        attributes.push_str(&format!("#[priority = {}]\n", random.below(256)));
    }
    if random.one_in(4) {
        let unit = ["s", "m", "h", "d"][random.below(4)];
        attributes.push_str(&format!("#[on_demand(ttl = \"{}{unit}\")]\n", 1 + random.below(99)));
    }
    let mut order: Vec<usize> = (0..lists.len()).collect();
    random.shuffle(&mut order);
    let mut tables = Vec::new();
    for &table in order.iter().take(1 + random.below(3)) {
        // One spelling of a path for each table, since lists are compared by it.
        let path = if table % 2 == 0 { format!("Table{table}") } else { format!("app::Table{table}") };
        let columns = lists[table].as_ref().map(|list| {
            let mut list = list.clone();
            random.shuffle(&mut list);
            list
        });
        let binds: Vec<(String, String)> =
            names.iter().map(|name| (format!("{}_of", name.trim_start_matches("r#")), (*name).to_owned())).collect();
        let mut draw = Draw::new(random, &path);
        let condition = match binds.is_empty() {
            true if draw.random.one_in(2) => None,
            true => Some(draw.constants(2)),
            false => Some(draw.bound(&binds)),
        };
        tables.push(Table { path, columns, condition });
    }
    let header = names.iter().map(|&name| name.to_owned()).collect();
    Rule { attributes, public, name: format!("rule_{at}"), header, params, tables, extra: String::new() }
}

fn param(random: &mut Random, name: &str) -> Param {
    let name = name.to_owned();
    if random.one_in(3) {
        return Param { name, source: Source::Claim((*random.pick(CLAIMS)).to_owned()) };
    }
    let table = if random.one_in(3) { "app::Member" } else { "Member" };
    let mut binds = vec![("user_id".to_owned(), "actor.user_id".to_owned())];
    if random.one_in(3) {
        binds.push(("tenant".to_owned(), "actor.shop_id?".to_owned()));
    }
    let column = format!("{table}.{}", if random.one_in(2) { "shop" } else { "r#type" });
    let condition = Some(Draw::new(random, table).bound(&binds));
    Param { name, source: Source::Member { column, condition } }
}
