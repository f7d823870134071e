//! Whose a database is: the app that provisioned it, and the version of the engine's parts that it holds.

use super::{
    error::StoreError,
    generation::Generations,
    rules::Branch,
    sql::{Dialect, literal},
};
use crate::schema::Schema;
use nizhal_core::Rule;

/// The version of the engine's own tables, functions and triggers. It grows with every change that a binary of before would not survive.
pub(crate) const PROVISIONING: i64 = 5;

/// The app that provisions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owner {
    /// Its name; empty where nobody said it.
    pub(crate) app: String,
    /// What it was called before.
    pub(crate) renamed_from: Option<String>,
    /// Whether it may not bring back rules that others replaced.
    pub(crate) goes_forward: bool,
}

impl Owner {
    /// Whether the database of the app of this name is ours; one without a name is anybody's.
    ///
    /// # Errors
    /// When it is another's.
    pub(super) fn check_app(&self, app: &str) -> Result<(), StoreError> {
        let is_own = app.is_empty() || self.app.is_empty() || app == self.app;
        if is_own || self.renamed_from.as_deref() == Some(app) {
            return Ok(());
        }
        Err(StoreError::Schema(format!(
            "the database is the app `{app}`'s, and this is `{}`: give this app a database or a schema of its own (DATABASE_URL); if `{app}` was \
             renamed, run `migrate --renamed-from {app}` once",
            self.app
        )))
    }
}

/// The control row's record of those who provisioned.
#[derive(Clone, Debug, Default)]
pub(crate) struct Provisioned {
    /// The name of the app; empty where none was said.
    app: String,
    /// The version of the engine's parts.
    provisioning: i64,
    /// The fingerprint of the rules.
    rules: String,
    /// The number of the last generation of rules.
    generation: i64,
    /// The generations of all rules, as JSON; empty before the first was kept.
    generations: String,
    /// The fingerprints of the rules that were replaced, as JSON; empty where none was.
    replaced: String,
}

/// How many replaced rules are kept.
const MAX_REPLACED: usize = 100;

/// The columns of [`Provisioned`] as they are read.
pub(crate) type Columns = (String, i64, String, i64, String, String);

impl From<Columns> for Provisioned {
    fn from((app, provisioning, rules, generation, generations, replaced): Columns) -> Self {
        Self { app, provisioning, rules, generation, generations, replaced }
    }
}

/// The query of [`Columns`], where these columns are there.
pub(crate) fn read(dialect: Dialect, has: &dyn Fn(&str) -> bool) -> String {
    let (text, number) = match dialect {
        Dialect::Postgres => ("''::text", "0::bigint"),
        Dialect::Sqlite => ("''", "0"),
    };
    let columns = [
        ("app", text),
        ("provisioning", number),
        ("rules", text),
        ("generation", number),
        ("generations", text),
        ("replaced", text),
    ];
    let columns = columns.map(|(name, none)| if has(name) { name } else { none });
    format!("select {} from _nizhal_control where id = 1", columns.join(", "))
}

/// The advice where this build's rules were replaced.
const REPLACED: &str = "the database was migrated from this build's sync rules to other ones: start the build of those here too; to go back to \
    the rules of this one, which stops servers of the others, run `migrate --back`";

impl Provisioned {
    /// The fingerprints of the rules that were replaced by others.
    fn replaced(&self) -> Vec<String> {
        serde_json::from_str(&self.replaced).unwrap_or_default()
    }

    /// Whether the database has the parts of this version.
    pub(super) fn is_current(&self) -> bool {
        self.provisioning == PROVISIONING
    }

    /// Whether this app may provision or serve from the database.
    ///
    /// # Errors
    /// When it is another app's, or of a newer version.
    pub(crate) fn check(&self, owner: &Owner, schema: &Schema, stored: &[Branch]) -> Result<(), StoreError> {
        if self.provisioning > PROVISIONING {
            return Err(StoreError::Schema(format!(
                "the database was provisioned by a newer version of Nizhal (its parts are of version {}, this binary knows {PROVISIONING}): start \
                 the newer binary, or restore a backup of before",
                self.provisioning
            )));
        }
        owner.check_app(&self.app)?;
        if owner.goes_forward && self.replaced().contains(&fingerprint(schema)) {
            return Err(StoreError::Schema(REPLACED.to_owned()));
        }
        let declares = |branch: &Branch| schema.tables().iter().any(|table| table.name == branch.table());
        if owner.renamed_from.is_none() && !stored.is_empty() && !stored.iter().any(declares) {
            let mut tables: Vec<_> = stored.iter().map(|branch| format!("`{}`", branch.table())).collect();
            tables.dedup();
            return Err(StoreError::Schema(format!(
                "the database syncs {}, and this app declares none of them: give this app a database or a schema of its own (DATABASE_URL); if \
                 it is the same app and all its tables were renamed, run `migrate --renamed-from {}` once",
                tables.join(", "),
                if self.app.is_empty() { "NAME" } else { &self.app }
            )));
        }
        Ok(())
    }

    /// The statements that write down who provisioned which rules; none where that is there.
    pub(crate) fn changes(&self, owner: &Owner, schema: &Schema, stored: &[Branch]) -> Vec<String> {
        let (hashes, rules) = (schema.fingerprints(), fingerprint(schema));
        let mut sets = Vec::new();
        if self.provisioning != PROVISIONING {
            sets.push(format!("provisioning = {PROVISIONING}"));
        }
        if !owner.app.is_empty() && self.app != owner.app {
            sets.push(format!("app = {}", literal(&owner.app)));
        }
        if self.rules != rules {
            sets.push(format!("rules = {}", literal(&rules)));
            let mut replaced = self.replaced();
            replaced.push(self.rules.clone());
            replaced.retain(|one| *one != rules && !one.is_empty());
            let kept = replaced.split_off(replaced.len().saturating_sub(MAX_REPLACED));
            sets.push(format!("replaced = {}", literal(&serde_json::to_string(&kept).unwrap_or_default())));
        }
        let stayed = |name: &str| {
            let rule = schema.rules().iter().find(|rule| rule.name == name);
            let is_stored = |rule: &Rule| stored.iter().any(|branch| branch.is_of(rule.name, rule.params.len()));
            rule.is_some_and(|rule| rule.tables.is_empty() || is_stored(rule))
        };
        // What was provisioned before generations were kept, and by the same rules, is of the first.
        let is_first = self.rules.is_empty() || self.rules == schema.fingerprint() || self.rules == rules;
        let next = match self.generations.is_empty() {
            true if is_first => Generations::first(hashes),
            true => Generations::default().next(&hashes, self.generation + 1, &stayed),
            false => Generations::read(&self.generations, &hashes).next(&hashes, self.generation + 1, &stayed),
        };
        let text = serde_json::to_string(&next).unwrap_or_default();
        if text != self.generations {
            sets.push(format!("generations = {}", literal(&text)));
            if !(self.generations.is_empty() && is_first) {
                sets.push(format!("generation = {}", self.generation + 1));
            }
        }
        if sets.is_empty() {
            Vec::new()
        } else {
            vec![format!("update _nizhal_control set {} where id = 1", sets.join(", "))]
        }
    }
}

/// What tells the rules that a database is provisioned for, and the version of the engine's parts: a server that knows others neither
/// reads nor writes there.
pub(crate) fn fingerprint(schema: &Schema) -> String {
    format!("{}.{PROVISIONING}", schema.fingerprint())
}
