//! Looks into the triggers that note what is written, where they are not as a server knows them.

use super::{
    StoreError,
    database::{Backend, Store},
    owner::fingerprint,
    triggers::{SQLITE_FINGERPRINT, State},
};
use sea_orm::Statement;
use std::collections::BTreeSet;

/// The triggers that were found.
#[derive(Debug, Default)]
struct FoundTriggers {
    fingerprint: String,
    /// The triggers of tables that are switched on.
    on: BTreeSet<String>,
    /// The partitions with triggers that are switched off.
    off: BTreeSet<String>,
}

impl Store {
    /// Takes what is there for what this server needs, because it was just provisioned.
    pub(super) async fn take_triggers(&self) -> Result<(), StoreError> {
        let found = self.found_triggers().await?;
        *self.triggers.state() = State { fingerprint: Some(found.fingerprint), needed: Some(found.on) };
        Ok(())
    }

    /// Looks whether the triggers are in place and the tables as they are declared, and whether rows were rewritten.
    ///
    /// # Errors
    /// [`StoreError::OtherRules`] when another server provisioned the database for its own rules, [`StoreError::Schema`] when some are
    /// missing or switched off or a table is other than it is declared, else when the database fails.
    pub async fn check_triggers(&self) -> Result<(), StoreError> {
        let mut last = self.triggers.looking.lock().await;
        // What is there is read first: what changes afterwards shows in the fingerprint.
        let found = self.found_triggers().await?;
        if self.triggers.are_in_place(&found.fingerprint) {
            return Ok(());
        }
        last.check(&found.fingerprint)?;
        let fingerprint = found.fingerprint.clone();
        // On the heap, lest every push's and pull's future be as large.
        let result = Box::pin(self.look_into_triggers(found)).await;
        last.remember(fingerprint, &result);
        result
    }

    async fn look_into_triggers(&self, found: FoundTriggers) -> Result<(), StoreError> {
        if let Backend::Postgres(store) = &self.backend {
            store.check_relations(&self.schema).await?;
        }
        let needed = self.triggers.state().needed.clone();
        let is_in_place = match &needed {
            Some(needed) => needed.is_subset(&found.on),
            None => !self.missing().await?.iter().any(|statement| makes_triggers(statement)),
        };
        if is_in_place && found.off.is_empty() {
            // Before anybody reads under this fingerprint. That a partition came or went is looked at from time to time: it waits for
            // whoever locks one, and no push should.
            if !self.triggers.are_tables_known(&found.fingerprint) {
                self.check_partitions().await?;
            }
            let needed = Some(needed.unwrap_or(found.on));
            *self.triggers.state() = State { fingerprint: Some(found.fingerprint), needed };
            return Ok(());
        }
        if self.control("rules").await? != fingerprint(&self.schema) {
            return Err(StoreError::OtherRules);
        }
        let off: Vec<&str> = found.off.iter().map(String::as_str).collect();
        let of_partitions =
            if off.is_empty() { String::new() } else { format!(" (of the partitions {})", off.join(", ")) };
        Err(StoreError::Schema(format!(
            "triggers of synced tables are missing or switched off{of_partitions}, so that nobody knows what is written: run `migrate`"
        )))
    }

    async fn found_triggers(&self) -> Result<FoundTriggers, StoreError> {
        let db = self.reads();
        let sql = match &self.backend {
            Backend::Postgres(store) => store.record_sql().triggers.clone(),
            Backend::Sqlite(_) => format!(
                "select f.fingerprint, t.name as found, null as off from (select ({SQLITE_FINGERPRINT}) as fingerprint) f left join sqlite_schema t \
                 on t.type = 'trigger' and t.name like '\\_nizhal\\_%' escape '\\'"
            ),
        };
        let mut found = FoundTriggers::default();
        for row in self.query_all(Statement::from_string(db.get_database_backend(), sql)).await? {
            found.fingerprint = row.try_get("", "fingerprint")?;
            found.on.extend(row.try_get::<Option<String>>("", "found")?);
            found.off.extend(row.try_get::<Option<String>>("", "off")?);
        }
        Ok(found)
    }

    /// Whether this is how they were when they were in place.
    ///
    /// # Errors
    /// [`StoreError::UnknownTriggers`] when it is not: [`check_triggers`](Self::check_triggers) tells.
    pub fn know_triggers(&self, fingerprint: &str) -> Result<(), StoreError> {
        if self.triggers.are_in_place(fingerprint) { Ok(()) } else { Err(StoreError::UnknownTriggers) }
    }
}

/// Whether a statement of a plan makes a trigger, switches one on, or makes what it calls.
fn makes_triggers(statement: &str) -> bool {
    let makes = ["create trigger ", "create function ", "create or replace function "];
    let switches = [" enable always trigger ", " enable replica trigger "];
    makes.iter().any(|verb| statement.starts_with(verb)) || switches.iter().any(|switch| statement.contains(switch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv18_a_plan_that_makes_triggers_is_seen() {
        for statement in
            ["create trigger x before", "alter table \"t\" enable always trigger \"x\"", "create function f() x"]
        {
            assert!(makes_triggers(statement), "{statement}");
        }
        assert!(!makes_triggers("alter table t add column x int"));
    }
}
